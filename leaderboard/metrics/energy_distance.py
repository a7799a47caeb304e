"""Do predicted cells spread like the true cells, not only around the same mean?"""

import math

import numpy as np
from jaxtyping import Float

from leaderboard.errors import UndefinedScoreError
from leaderboard.metrics._cells import sample_of
from leaderboard.spec import Metric, PerturbationUnit

BLOCK = 1024
"""Cells per step, so that no full matrix of distances is held."""
Cells = Float[np.ndarray, "cells genes"]


def energy_distance(case: PerturbationUnit) -> float:
    """2 E|X - Y| - E|X - X'| - E|Y - Y'| of predicted X and true Y; 0 is the same distribution.

    Euclidean distance of cells in log1p units of scaled counts, without the genes that the panel
    targets. The last two means leave out the distance of a cell to itself, so the value has
    expectation 0 for a perfect sampler, whatever the numbers of cells, and may fall below 0.
    Undefined with fewer than 2 cells on a side.
    """
    predicted, sparse = sample_of(case).log_cells()
    true = sparse.toarray()
    if min(len(predicted), len(true)) < 2:
        raise UndefinedScoreError("the spread of cells needs 2 predicted and 2 true cells")
    centre = true.mean(axis=0)  # distances keep more digits between vectors near zero
    x, y = predicted - centre, true - centre
    across = sum_distances(x, y) / (len(x) * len(y))
    within = [sum_distances(z, z) / (len(z) * (len(z) - 1)) for z in (x, y)]
    return 2 * across - sum(within)


def sum_distances(
    one: Float[np.ndarray, "ones genes"], other: Float[np.ndarray, "others genes"]
) -> float:
    """Return the sum of the Euclidean distances of all pairs of rows."""
    total = 0.0
    squares = np.einsum("ij,ij->i", other, other)
    for start in range(0, len(one), BLOCK):
        rows = one[start : start + BLOCK]
        squared = np.einsum("ij,ij->i", rows, rows)[:, None] + squares - 2 * rows @ other.T
        if one is other:  # rounding would give a cell a distance to itself
            squared[np.arange(len(rows)), start + np.arange(len(rows))] = 0.0
        total += float(np.sqrt(np.maximum(squared, 0.0)).sum())
    return total


METRIC = Metric(
    name="energy_distance",
    label="Energy distance",
    tasks=("perturbation_prediction",),
    compute=energy_distance,
    bounds=(-math.inf, math.inf),
    higher_is_better=False,
    citation="Szekely & Rizzo 2013, doi:10.1016/j.jspi.2013.03.018; unbiased within-group means",
    floor=None,
    ceiling="noise",
)
