"""Profiles of summed counts, and how much of a squared distance is sampling noise.

Definitions: ArcInstitute/cell-eval2 0.20, docs/vcc2026_metrics, sections 1 and 2.
"""

from collections.abc import Sequence

import numpy as np
import scipy.sparse as sp
from jaxtyping import Bool, Float

Sparse = sp.csr_matrix
BULK_SUM = 5e4
"""What the summed counts of a group are scaled to before the log."""
BLOCK = 32
"""Cells per step of the jackknife: a block that stays in the processor's cache."""
Profiles = Float[np.ndarray, "groups genes"]
Scalars = Float[np.ndarray, " groups"]


def bulk_profile(cells: Sparse) -> Float[np.ndarray, " genes"]:
    """Return log1p of the summed counts scaled to ``BULK_SUM``; zero where there are no counts."""
    total = np.asarray(cells.sum(axis=0, dtype=np.float64)).ravel()
    size = total.sum()
    profile: Float[np.ndarray, " genes"] = total * (BULK_SUM / size if size > 0 else 0.0)
    np.log1p(profile, out=profile)
    return profile


def jackknife(cells: Sparse) -> float:
    """Estimate the sampling variance of ``bulk_profile``, summed over genes, one cell left out.

    Leaving a cell out moves the scale of every gene, also of those that it has no count of.
    """
    n = cells.shape[0]
    total = np.asarray(cells.sum(axis=0, dtype=np.float64)).ravel()
    left = total.sum() - np.asarray(cells.sum(axis=1, dtype=np.float64)).ravel()
    if n < 2 or not total.sum() > 0:
        return 0.0
    remaining = np.where(left > 0, left, 1.0)[:, None]  # nothing left: its profile is zero
    scale = BULK_SUM * total
    centre = bulk_profile(cells)
    first, second = np.zeros_like(total), 0.0
    for start in range(0, n, BLOCK):
        rest = cells[start : start + BLOCK].toarray().astype(np.float64, copy=False)
        rest *= -BULK_SUM
        rest += scale
        rest += remaining[start : start + BLOCK]
        np.log(rest, out=rest)  # twice as fast as log1p of the ratio
        rest -= np.log(remaining[start : start + BLOCK])
        rest -= centre  # near zero, so that the sum of squares keeps its digits
        first += rest.sum(axis=0)
        second += float(np.vdot(rest, rest))
    return max((n - 1) / n * (second - float(first @ first) / n), 0.0)


def squared_distances(
    one: Profiles, other: Profiles, scored: Bool[np.ndarray, "groups genes"]
) -> Scalars:
    """Return the squared distance of every group over its scored genes."""
    distances: Scalars = np.sum(np.where(scored, one - other, 0.0) ** 2, axis=1)
    return distances


def credit_share(
    predicted: Profiles, credit: Scalars, scored: Bool[np.ndarray, "groups genes"]
) -> float:
    """Return the share of the sampling correction that a prediction may have, at most 1.

    Cells whose scatter cancels in their sum claim noise that their profile does not have. So the
    corrections together (``credit``) may not exceed the spread of the predicted profiles between
    groups, both weighted by one over the group's number of scored genes.
    """
    weight = 1.0 / scored.sum(axis=1)
    claim = float(weight @ credit)
    if not claim > 0:
        return 1.0
    weights = scored * weight[:, None]
    shared = scored.sum(axis=0) >= 2
    w, x = weights[:, shared], predicted[:, shared]
    centre = (w * x).sum(axis=0) / w.sum(axis=0)
    return min(1.0, float(np.sum(w * (x - centre) ** 2)) / claim)


def mask_columns(
    n_genes: int, columns: Sequence[Sequence[int]]
) -> Bool[np.ndarray, "groups genes"]:
    """Return which genes each group keeps, its own columns left out."""
    kept = np.ones((len(columns), n_genes), dtype=bool)
    for row, own in enumerate(columns):
        kept[row, list(own)] = False
    return kept
