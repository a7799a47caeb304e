"""What the metrics of a stated uncertainty share: how far the measured means are from predicted."""

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from leaderboard.errors import UndefinedScoreError
from leaderboard.metrics._differential import MIN_EXPRESSING, genes_under_test
from leaderboard.spec import PerturbationUnit

Genes = Float[np.ndarray, " tested"]


@dataclass(frozen=True, kw_only=True)
class Stated:
    """The genes that control cells express and whose measured mean has noise."""

    tested: Bool[np.ndarray, " genes"]
    """Which genes of the unit these are."""
    miss: Genes
    """Measured minus predicted mean, in log1p units."""
    error: Genes
    """Variance of the error of the predicted mean, as the entry states it, in squared units."""
    noise: Genes
    """Sampling variance of the measured mean, in squared units."""

    @property
    def spread(self) -> Genes:
        """Standard deviation that the miss should have: the entry's own and that of the truth."""
        spread: Genes = np.sqrt(self.error + self.noise)
        return spread


@dataclass(frozen=True, kw_only=True)
class Means:
    """Two means over the genes of a unit, in squared log1p units."""

    stated: float
    """Variance of the error, as the entry states it."""
    actual: float
    """Squared miss less the sampling variance of the measured mean; its expectation is the squared
    error about the noise-free mean, so it is below 0 at times where that is small."""


def stated_errors(case: PerturbationUnit) -> Stated:
    """Return how far the means of a unit are missed, and how far they may be.

    An entry states the variance of its error in the noise-free mean. The mean that is measured has
    sampling noise on top, variance / n over the test cells, which no entry can know: both add up.
    Genes are chosen by control cells and the truth alone.

    Raises
    ------
    UndefinedScoreError
        If the entry states no uncertainty, or the truth none of its noise.
    """
    stated = _statement(case)
    if case.n < 2:
        raise UndefinedScoreError("a variance over cells needs 2 test cells")
    noise = case.variance / case.n
    tested = genes_under_test(case) & (noise > 0)
    if not tested.any():
        raise UndefinedScoreError("no gene that control cells express varies in the test cells")
    return Stated(
        tested=tested,
        miss=(case.truth - case.predicted)[tested],
        error=stated[tested],
        noise=noise[tested],
    )


def mean_errors(case: PerturbationUnit) -> Means:
    """Return the mean error of a unit of 2 cells or more, as stated and as it is.

    Over the genes that control cells express, whatever the number of test cells: units of one
    context share them, so that none seems worse because its few cells show its loudest genes only.

    Raises
    ------
    UndefinedScoreError
        If the entry states no uncertainty, or control cells express no gene.
    """
    stated = _statement(case)
    expressed = case.control_truth * case.n_control >= MIN_EXPRESSING * math.log(2)
    if not expressed.any():
        raise UndefinedScoreError("control cells express no gene")
    squared = (case.truth - case.predicted) ** 2 - case.variance / case.n
    return Means(
        stated=float(np.mean(stated[expressed])), actual=float(np.mean(squared[expressed]))
    )


def _statement(case: PerturbationUnit) -> Float[np.ndarray, " genes"]:
    if case.predicted_error is None:
        raise UndefinedScoreError("the entry states no uncertainty of its means")
    return case.predicted_error
