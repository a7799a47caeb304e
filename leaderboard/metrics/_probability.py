"""What the metrics of stated probabilities share."""

import numpy as np
from jaxtyping import Bool, Float

from leaderboard.errors import UndefinedScoreError
from leaderboard.spec import AnnotationUnit

Probability = Float[np.ndarray, "cells labels"]
Confidence = Float[np.ndarray, " cells"]


def stated(case: AnnotationUnit) -> Probability:
    """Return the probabilities of a unit, cells x labels; undefined where the entry gave none."""
    if case.probability is None:
        raise UndefinedScoreError("the entry gives no probabilities")
    return case.probability


def confidence(case: AnnotationUnit) -> Confidence:
    """Return the largest probability of every cell."""
    largest: Confidence = stated(case).max(axis=1)
    return largest


def is_right(case: AnnotationUnit) -> Bool[np.ndarray, " cells"]:
    """Return which cells got their true label."""
    right: Bool[np.ndarray, " cells"] = case.label == case.predicted
    return right
