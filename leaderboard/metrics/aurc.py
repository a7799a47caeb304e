"""If an entry may leave out the cells that it is least sure of, how many errors are left?"""

import numpy as np

from leaderboard.metrics._probability import confidence, is_right
from leaderboard.spec import AnnotationUnit, Metric


def aurc(case: AnnotationUnit) -> float:
    """Mean, over k, of the share of errors among the k surest cells; 0 is best.

    Where cells tie in confidence, it is the mean over every order that they could be taken in, so
    the order of cells cannot matter; an entry equally sure of all scores its share of errors.
    """
    sure, inverse, size = np.unique(-confidence(case), return_inverse=True, return_counts=True)
    errors = np.bincount(inverse, ~is_right(case), minlength=len(sure))
    # A cell of a group of ties adds, on average, the group's share of errors.
    expected = np.cumsum(np.repeat(errors / size, size))
    return float(np.mean(expected / np.arange(1, len(expected) + 1)))


METRIC = Metric(
    name="aurc",
    label="Selective risk (AURC)",
    tasks=("cell_type_annotation",),
    compute=aurc,
    bounds=(0.0, 1.0),
    higher_is_better=False,
    citation="Geifman & El-Yaniv 2017, arXiv:1705.08500",
    floor=None,
)
