"""Which genes respond? Tests on means and variances, for entries that give no cells."""

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from jaxtyping import Bool, Float
from scipy.special import stdtr

from leaderboard.errors import UndefinedScoreError
from leaderboard.spec import PerturbationUnit

ALPHA = 0.05
"""Expected share of false calls among the genes called."""
MIN_EXPRESSING = 5
"""A normal approximation to a share of cells wants five of them on the rarer side."""
Genes = Float[np.ndarray, " genes"]


@dataclass(frozen=True, kw_only=True)
class Welch:
    """Welch's test of every gene; where both groups are constant, t is 0 and p is 1."""

    t: Genes
    p: Genes


@dataclass(frozen=True, kw_only=True)
class Response:
    """The genes under test and those of them that the truth calls."""

    tested: Bool[np.ndarray, " genes"]
    """Genes that control cells express; the same for every entry."""
    called: Bool[np.ndarray, " tested"]
    up: Bool[np.ndarray, " tested"]
    """Whether the true shift is positive."""


def benjamini_hochberg(p: Float[np.ndarray, " tests"]) -> Float[np.ndarray, " tests"]:
    """Return the p-values adjusted for the false discovery rate among them."""
    order = np.argsort(p)[::-1]
    rank = np.arange(len(p), 0, -1)
    stepped = np.minimum.accumulate(p[order] * len(p) / rank)
    adjusted = np.empty_like(p)
    adjusted[order] = np.minimum(stepped, 1.0)
    return adjusted


def welch(shift: Genes, error: tuple[Genes, Genes], cells: tuple[int, int]) -> Welch:
    """Test the mean shift between two groups of cells, two-sided, variances not assumed equal.

    Parameters
    ----------
    shift
        Difference of the means, in log1p units.
    error
        Variance over cells divided by the number of cells, of either group.
    cells
        Number of cells of either group, at least 2.
    """
    total = error[0] + error[1]
    t, p = np.zeros_like(shift), np.ones_like(shift)
    seen = total > 0
    spread = error[0] ** 2 / (cells[0] - 1) + error[1] ** 2 / (cells[1] - 1)
    t[seen] = shift[seen] / np.sqrt(total[seen])
    p[seen] = 2 * stdtr(total[seen] ** 2 / spread[seen], -np.abs(t[seen]))
    return Welch(t=t, p=p)


def genes_under_test(case: PerturbationUnit) -> Bool[np.ndarray, " genes"]:
    """Return the genes that enough control cells express for a test of these numbers of cells.

    One count at the board's target depth is log 2, so a mean of m means about m / log 2 of the
    cells with a count. Neither the truth nor the prediction is looked at, so no entry can choose
    the genes that it is judged on, and the presence of a gene says nothing about its direction.
    """
    cells = min(case.n, case.n_control)
    return case.control_truth * cells >= MIN_EXPRESSING * math.log(2)


@lru_cache(maxsize=8)
def true_response(case: PerturbationUnit) -> Response:
    """Call the genes that differ between test cells and ``control_truth``.

    Raises UndefinedScoreError where a group has fewer than 2 cells, or no tested gene, or every
    tested gene, is called.
    """
    if min(case.n, case.n_control) < 2:
        raise UndefinedScoreError("a variance over cells needs 2 cells on either side")
    tested = genes_under_test(case)
    shift = (case.truth - case.control_truth)[tested]
    errors = (
        case.variance[tested] / case.n,
        case.control_variance[tested] / case.n_control,
    )
    test = welch(shift, errors, (case.n, case.n_control))
    called = benjamini_hochberg(test.p) < ALPHA
    if not called.any():
        raise UndefinedScoreError(f"none of {tested.sum()} tested genes truly responds")
    return Response(tested=tested, called=called, up=shift > 0)


def predicted_test(case: PerturbationUnit, tested: Bool[np.ndarray, " genes"]) -> Welch:
    """Test the predicted moments as if they came from as many cells as the truth has.

    The prediction is set against ``control_input``, whose cells the truth does not share; its
    variance is taken to be that of ``control_truth``, the other half of the same cells.
    """
    if case.predicted_variance is None:
        raise UndefinedScoreError("the entry predicts no variance over cells")
    shift = (case.predicted - case.control_input)[tested]
    errors = (
        case.predicted_variance[tested] / case.n,
        case.control_variance[tested] / case.n_control,
    )
    return welch(shift, errors, (case.n, case.n_control))


def check_contrast(response: Response) -> None:
    """Raise UndefinedScoreError where every tested gene is called: no choice could be wrong."""
    if response.called.all():
        raise UndefinedScoreError(f"all {len(response.called)} tested genes truly respond")
