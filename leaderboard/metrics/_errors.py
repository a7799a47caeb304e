"""Errors and correlations that several metrics share."""

import numpy as np
from jaxtyping import Float

from leaderboard.errors import UndefinedScoreError
from leaderboard.spec import PerturbationUnit


def weighted_mse(profile: Float[np.ndarray, " genes"], case: PerturbationUnit) -> float:
    """Sum of w (profile - truth)^2 over the sum of w, in squared log1p units."""
    total = case.weight.sum()
    if not total > 0:
        raise UndefinedScoreError("all genes have the same t, so no gene carries weight")
    return float(np.sum(case.weight * (profile - case.truth) ** 2) / total)


def correlation(a: Float[np.ndarray, " genes"], b: Float[np.ndarray, " genes"]) -> float:
    """Pearson correlation over genes, within [-1, 1]."""
    a, b = a - a.mean(), b - b.mean()
    return float(np.clip((a @ b) / np.sqrt((a @ a) * (b @ b)), -1.0, 1.0))
