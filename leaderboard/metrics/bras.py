"""Is a cell as near to other batches of its type as to its own?"""

import numpy as np
from jaxtyping import Float, Int

from leaderboard.errors import UndefinedScoreError
from leaderboard.spec import IntegrationUnit, Metric


def bras(case: IntegrationUnit) -> float:
    """Mean over labels of the mean of 1 - abs(silhouette of batches); 1 is best.

    Equal to ``bras`` of scib-metrics: cosine distance, to the own batch against all others
    together. The mean cosine to a group is that with the sum of its unit vectors, so no pair of
    cells is looked at. Labels in one batch only, and those whose every cell is a batch, do not
    count.
    """
    case.cells.check_spread()
    values = [
        float(np.mean(1 - np.abs(batch_silhouette(case.cells.embedding[members], code))))
        for members, code in _labels(case)
    ]
    if not values:
        raise UndefinedScoreError("no label is in two batches")
    return float(np.clip(np.mean(values), 0.0, 1.0))


def _labels(
    case: IntegrationUnit,
) -> list[tuple[Int[np.ndarray, " members"], Int[np.ndarray, " members"]]]:
    found = []
    for label in np.unique(case.cells.label):
        members = np.flatnonzero(case.cells.label == label)
        code = np.unique(case.cells.batch[members], return_inverse=True)[1]
        if 1 < code.max() + 1 < len(members):
            found.append((members, code))
    return found


def batch_silhouette(
    embedding: Float[np.ndarray, "cells dims"], code: Int[np.ndarray, " cells"]
) -> Float[np.ndarray, " cells"]:
    """Return the cosine silhouette, own batch against all others; 0 for the only cell of a batch.

    Raises
    ------
    UndefinedScoreError
        If a cell is at the origin, from where there is no angle.
    """
    values = embedding.astype(np.float64)
    length = np.linalg.norm(values, axis=1, keepdims=True)
    if not length.all():
        raise UndefinedScoreError("a cell is at the origin, so it has no cosine distance")
    values /= length
    size = np.bincount(code)[code]
    sums = np.stack([values[code == k].sum(axis=0) for k in range(code.max() + 1)])
    own, all_ = np.sum(values * sums[code], axis=1), values @ sums.sum(axis=0)
    near = (size - own) / np.maximum(size - 1, 1)
    n_others = len(code) - size
    far = (n_others - (all_ - own)) / n_others
    widest = np.maximum(near, far)
    is_defined = (size > 1) & (widest > 0)
    silhouette: Float[np.ndarray, " cells"] = np.divide(
        far - near, widest, out=np.zeros(len(code)), where=is_defined
    )
    return silhouette


METRIC = Metric(
    name="bras",
    label="BRAS",
    tasks=("batch_integration",),
    compute=bras,
    bounds=(0.0, 1.0),
    higher_is_better=True,
    citation="Rautenstrauch & Ohler 2025, doi:10.1038/s41587-025-02743-4; scib-metrics 0.5.10",
    floor=0.0,
    is_whole=True,
)
