"""Has a cell's neighbourhood within its type the type's own composition of batches?"""

import numpy as np
from jaxtyping import Int
from scipy.stats import chi2

from leaderboard.errors import UndefinedScoreError
from leaderboard.spec import IntegrationUnit, Metric

ALPHA = 0.05


def kbet(case: IntegrationUnit) -> float:
    """Mean over labels of the share of cells whose neighbourhood no chi-squared test rejects.

    Within a label, a cell's k nearest cells of that label and the cell itself are tested against
    the label's composition of batches, k a quarter of its cells in a batch, from 10 to 70, as
    scib-metrics chooses it. The test is its ``kbet``; but its ``kbet_per_label`` looks for those
    neighbours in a diffusion map of a graph over all labels, by an approximate search, this here in
    the embedding itself, by an exact one. Labels with fewer than 10 cells or in one batch do not
    count.
    """
    values = []
    for label, members, _ in case.cells.mixed_labels():
        code = np.unique(case.cells.batch[members], return_inverse=True)[1]
        k = min(70, max(10, int(np.mean(np.bincount(code)) // 4)))
        values.append(acceptance(case.cells.within[label].indices[:, : k + 1], code))
    if not values:
        raise UndefinedScoreError("no label with 10 cells is in two batches")
    return float(np.mean(values))


def acceptance(near: Int[np.ndarray, "cells k"], code: Int[np.ndarray, " cells"]) -> float:
    """Return the share of neighbourhoods with p >= .05; ``code`` numbers the batches from 0."""
    n_batches, k = int(code.max()) + 1, near.shape[1]
    observed = np.stack([(code[near] == b).sum(axis=1) for b in range(n_batches)], axis=1)
    expected = np.bincount(code) / len(code) * k
    statistic = ((observed - expected) ** 2 / expected).sum(axis=1)
    return float(np.mean(chi2.sf(statistic, n_batches - 1) >= ALPHA))


METRIC = Metric(
    name="kbet",
    label="kBET (within type)",
    tasks=("batch_integration",),
    compute=kbet,
    bounds=(0.0, 1.0),
    higher_is_better=True,
    citation="Buettner et al. 2019, doi:10.1038/s41592-018-0254-1",
    floor=0.0,
    is_whole=True,
)
