"""Pearson correlations of many columns at once, for predicted proteins."""

import numpy as np
from jaxtyping import Float

from leaderboard.errors import UndefinedScoreError

MIN_POINTS = 3
"""Two points always lie on a line."""


def column_correlations(
    predicted: Float[np.ndarray, "rows columns"], truth: Float[np.ndarray, "rows columns"]
) -> Float[np.ndarray, " columns"]:
    """Correlate every column with its truth, within [-1, 1].

    NaN where the truth is constant: there is nothing to predict. 0 where only the prediction is
    constant: it says nothing of the differences that there are.
    """
    found = np.where(np.ptp(truth, axis=0) > 0, 0.0, np.nan)
    used = (np.ptp(truth, axis=0) > 0) & (np.ptp(predicted, axis=0) > 0)
    p = predicted[:, used] - predicted[:, used].mean(axis=0)
    t = truth[:, used] - truth[:, used].mean(axis=0)
    norm = np.sqrt((p**2).sum(axis=0) * (t**2).sum(axis=0))
    found[used] = np.clip((p * t).sum(axis=0) / norm, -1.0, 1.0)
    return found


def mean_correlation(
    predicted: Float[np.ndarray, "rows columns"],
    truth: Float[np.ndarray, "rows columns"],
    rows: str,
    columns: str,
) -> float:
    """Return the mean of the columns' correlations over those whose truth varies.

    Raises
    ------
    UndefinedScoreError
        With fewer than 3 rows, or if no truth varies; ``rows`` and ``columns`` name them.
    """
    if len(truth) < MIN_POINTS:
        raise UndefinedScoreError(f"{len(truth)} {rows}, {MIN_POINTS} needed for a correlation")
    found = column_correlations(predicted, truth)
    known = found[~np.isnan(found)]
    if not len(known):
        raise UndefinedScoreError(f"the truth varies in none of the {len(found)} {columns}")
    return float(known.mean())
