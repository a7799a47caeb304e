"""What the metrics of a stated uncertainty share: how far the measured means are from predicted."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from leaderboard.errors import UndefinedScoreError
from leaderboard.metrics._differential import genes_under_test
from leaderboard.spec import PerturbationUnit

Genes = Float[np.ndarray, " tested"]


@dataclass(frozen=True, kw_only=True)
class Stated:
    """The genes that control cells express and whose measured mean has noise."""

    miss: Genes
    """Measured minus predicted mean, in log1p units."""
    spread: Genes
    """Standard deviation that the miss should have: the entry's own and that of the truth."""


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
    if case.predicted_error is None:
        raise UndefinedScoreError("the entry states no uncertainty of its means")
    if case.n < 2:
        raise UndefinedScoreError("a variance over cells needs 2 test cells")
    noise = case.variance / case.n
    tested = genes_under_test(case) & (noise > 0)
    if not tested.any():
        raise UndefinedScoreError("no gene that control cells express varies in the test cells")
    return Stated(
        miss=(case.truth - case.predicted)[tested],
        spread=np.sqrt(case.predicted_error + noise)[tested],
    )
