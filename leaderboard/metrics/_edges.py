"""Precision and recall over the ranked targets of one regulator, whatever the order of ties."""

import numpy as np
from jaxtyping import Bool, Float, Shaped
from scipy.special import digamma

from leaderboard.errors import UndefinedScoreError
from leaderboard.spec import RegulatorUnit


def strength(case: RegulatorUnit) -> Float[np.ndarray, " targets"]:
    """Return what targets are ranked by: the size of the weight; pairs not given come last."""
    return np.where(case.is_given, np.abs(case.weight), -1.0)


def is_target(case: RegulatorUnit) -> Bool[np.ndarray, " targets"]:
    """Return which candidates are true targets.

    Raises
    ------
    UndefinedScoreError
        If none or all of them are: then every ranking scores alike.
    """
    found: Bool[np.ndarray, " targets"] = case.sign != 0
    if not found.any() or found.all():
        raise UndefinedScoreError("needs true targets, and candidates that are no targets")
    return found


def expected_auprc(score: Float[np.ndarray, " cases"], hit: Bool[np.ndarray, " cases"]) -> float:
    """Return average precision, as expected when ties are put in random order; needs a hit.

    A tie of ``n`` cases with ``p`` hits that comes after ``N`` cases with ``P`` hits has a hit at
    its place ``i`` with chance ``p / n``, and then ``P + 1 + (i - 1)(p - 1)/(n - 1)`` hits so far
    among ``N + i`` cases. Summed over places this is a difference of harmonic numbers: exact, and
    the same for any order of the cases.
    """
    n, p = _ties(score, hit)
    before, hits_before = np.cumsum(n) - n, np.cumsum(p) - p
    share = np.divide(p - 1, n - 1, out=np.zeros(len(n)), where=n > 1)
    harmonic = digamma(before + n + 1) - digamma(before + 1)
    inside = share * n + (hits_before + 1 - share * (before + 1)) * harmonic
    return float((p / n * inside).sum() / p.sum())


def random_auprc(hit: Bool[np.ndarray, " cases"]) -> float:
    """Return the average precision that a random order of the cases is expected to have.

    Above the share of hits, and far above it where hits are few: whatever hit comes first, it comes
    with a precision of one over its place.
    """
    return expected_auprc(np.zeros(len(hit)), hit)


def expected_hits(score: Float[np.ndarray, " cases"], hit: Bool[np.ndarray, " cases"]) -> float:
    """Return the hits among as many top cases as there are hits; a tie at the end gives a share."""
    n, p = _ties(score, hit)
    before = np.cumsum(n) - n
    taken = np.clip(p.sum() - before, 0, n)
    return float((p * taken / n).sum())


def _ties(
    score: Float[np.ndarray, " cases"], hit: Bool[np.ndarray, " cases"]
) -> tuple[Shaped[np.ndarray, " ties"], Shaped[np.ndarray, " ties"]]:
    """Return cases and hits of every distinct score, highest first."""
    _, tie = np.unique(-score, return_inverse=True)
    return np.bincount(tie).astype(float), np.bincount(tie, hit)
