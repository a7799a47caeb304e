"""Is an entry wrong in those genes of which it says that it is unsure?"""

import numpy as np
from jaxtyping import Float
from scipy.stats import rankdata

from leaderboard.errors import UndefinedScoreError
from leaderboard.metrics._stated import stated_errors
from leaderboard.spec import Metric, PerturbationUnit

MIN_GENES = 10
"""Three are used up by what is held fixed; a correlation of the rest wants some more."""
NOTHING = 1e-4
"""Ranks of which less than this share of variance remains differ by what rounding does to ties."""


def uncertainty_over_genes(case: PerturbationUnit) -> float:
    """Partial rank correlation of the stated error and the size of the miss over tested genes.

    Held fixed, as ranks, are the sampling variance of the measured mean and what control cells tell
    everyone: each gene's mean and its variance over cells. Without that, a gene's expression alone
    would score, for genes with many counts are noisy in log1p units and are missed by more. 0 for
    an entry that states one value, or the order of anything held fixed; an estimate of noise or
    expression from other cells scores a little more. 1 would be to sort what remains of the misses
    without a fault, which their own sampling noise keeps anyone from.
    """
    found = stated_errors(case)
    if len(found.miss) < MIN_GENES:
        raise UndefinedScoreError(
            f"{len(found.miss)} gene(s) that control cells express; {MIN_GENES} needed"
        )
    known = [found.noise, case.control_truth[found.tested], case.control_variance[found.tested]]
    design = np.column_stack([np.ones(len(found.miss)), *map(rankdata, known)])
    stated, missed = _rest(found.error, design), _rest(np.abs(found.miss), design)
    if not missed.any():
        raise UndefinedScoreError("noise and expression of the genes tell every miss")
    norm = np.sqrt((stated @ stated) * (missed @ missed))
    return float(np.clip(stated @ missed / norm, -1.0, 1.0)) if norm > 0 else 0.0


def _rest(
    values: Float[np.ndarray, " tested"], design: Float[np.ndarray, "tested known"]
) -> Float[np.ndarray, " tested"]:
    """Return what least squares on ``design`` leave of the ranks; zeros if next to nothing."""
    rank = rankdata(values)
    rest: Float[np.ndarray, " tested"] = rank - design @ np.linalg.lstsq(design, rank)[0]
    # n^3 / 12 is the sum of squares of ranks without ties.
    return rest if rest @ rest > NOTHING * len(rank) ** 3 / 12 else np.zeros_like(rest)


METRIC = Metric(
    name="uncertainty_over_genes",
    label="Uncertainty against error, over genes",
    tasks=("perturbation_prediction",),
    compute=uncertainty_over_genes,
    bounds=(-1.0, 1.0),
    higher_is_better=True,
    citation="asked as in Roohani et al. 2024, doi:10.1038/s41587-023-01905-6",
    floor=0.0,
    needs_control=True,
)
