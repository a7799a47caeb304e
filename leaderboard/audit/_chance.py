"""How likely two cells are as alike as they are, if each was drawn by itself.

Given both cells' rates, whatever they are, counts are independent Poisson, and the sum s of a
gene's two counts splits as Binomial(s, q). An equal split, q = 1/2, brings them nearest, so the
chance under fair coins is an upper bound for every pair of cells drawn apart; no profile has to be
estimated. The statistic is the sum over genes of min(|x - y|, cap): one gene with thousands of
counts must not drown the others. Its lower tail is bounded by Chernoff: for every t > 0,
P(sum <= d) <= exp(t d) prod E exp(-t min(|D|, cap)), and with p the largest probability of
Binomial(s, 1/2), E exp(-t min(|D|, cap)) <= p sum_j exp(-t |j|) + exp(-t cap), j over the values of
D below the cap, which are even or odd like s.
"""

import numpy as np
from jaxtyping import Float
from scipy import sparse
from scipy.special import gammaln

CAPS = (4, 64)
"""For cells of few and of many counts a gene; the better bound is taken, at half the level."""
TILTS = (0.1, 0.25, 0.5, 1.0, 1.5, 2.0, 3.0, 5.0, 8.0, 13.0, 20.0)
"""Values of t that are tried; each gives a bound, the smallest is taken."""


def distances(one: sparse.csr_matrix, other: sparse.csr_matrix) -> Float[np.ndarray, " pairs"]:
    """Return sum |x - y| / sum (x + y) of row i of one and row i of the other: 0 if equal."""
    apart = np.asarray(abs(one - other).sum(axis=1), dtype=np.float64).ravel()
    both = np.asarray(one.sum(axis=1) + other.sum(axis=1), dtype=np.float64).ravel()
    return np.asarray(apart / np.maximum(both, 1.0))


def log_chance(one: sparse.csr_matrix, other: sparse.csr_matrix) -> Float[np.ndarray, " pairs"]:
    """Return an upper bound of the log chance that cells drawn apart are at least as alike.

    Parameters
    ----------
    one, other
        Whole counts, pairs x genes: row i of one beside row i of the other.
    """
    both = sparse.csr_matrix(one + other)
    both.eliminate_zeros()
    both.sort_indices()
    n_pairs = both.shape[0]
    row = np.repeat(np.arange(n_pairs), np.diff(both.indptr))
    total = both.data.astype(np.float64)
    half = np.floor(total / 2)
    peak = gammaln(total + 1) - gammaln(half + 1) - gammaln(total - half + 1) - total * np.log(2)
    best = np.zeros(n_pairs)
    for cap in CAPS:
        apart = abs(one - other)
        apart.data = np.minimum(apart.data, cap)
        distance = np.asarray(apart.sum(axis=1), dtype=np.float64).ravel()
        for tilt in TILTS:
            term = _log_moment(total, peak, tilt, cap)
            bound = np.bincount(row, weights=term, minlength=n_pairs) + tilt * distance
            best = np.minimum(best, bound)
    return np.asarray(np.minimum(best + np.log(len(CAPS)), 0.0))


def _log_moment(
    total: Float[np.ndarray, " values"], peak: Float[np.ndarray, " values"], tilt: float, cap: int
) -> Float[np.ndarray, " values"]:
    """Return the log of the bound of E exp(-t min(|D|, cap)) for every sum of two counts."""
    even = 1.0 + 2.0 * sum(np.exp(-tilt * j) for j in range(2, cap, 2))
    odd = 2.0 * sum(np.exp(-tilt * j) for j in range(1, cap, 2))
    below = np.exp(peak) * np.where(total % 2 == 1, odd, even)
    capped = np.where(total >= cap, np.exp(-tilt * cap), 0.0)
    return np.asarray(np.minimum(np.log(below + capped), 0.0))


def log_threshold(level: float, n_pairs: float) -> float:
    """Return the log chance that a pair must not exceed for ``level`` over all pairs together."""
    return float(np.log(level) - np.log(max(n_pairs, 1.0)))
