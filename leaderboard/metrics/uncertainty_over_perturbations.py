"""Does an entry know which perturbations it gets wrong?"""

import numpy as np
from jaxtyping import Float
from scipy.stats import rankdata

from leaderboard.errors import UndefinedScoreError
from leaderboard.metrics._stated import mean_errors
from leaderboard.spec import Metric, PerturbationBoard

MIN_PERTURBATIONS = 5
"""In a fold and context, as for the discrimination of perturbations."""


def uncertainty_over_perturbations(case: PerturbationBoard) -> float:
    """Rank correlation of the stated and the actual mean error over perturbations; 1 is best.

    Of those of one fold and context, then the mean over folds and contexts, weighted by the number
    of perturbations. Folds are kept apart because training holds the weak perturbations where the
    strong ones are tested, which would turn the order of folds over for anyone. The sampling noise
    of the measured means is subtracted, so all perturbations count, also those without a measurable
    effect: an effect that is predicted and is not there is an error. An entry that states the same
    of all scores 0.
    """
    values, sizes = [], []
    means = [mean_errors(unit) for unit in case.units]
    for block in np.unique(case.block):
        # Of one cell the noise is unknown.
        rows = [k for k in np.flatnonzero(case.block == block) if case.units[k].n > 1]
        actual = np.array([means[k].actual for k in rows])
        if len(rows) >= MIN_PERTURBATIONS and np.ptp(actual) > 0:
            values.append(_rank_correlation(np.array([means[k].stated for k in rows]), actual))
            sizes.append(len(rows))
    if not values:
        raise UndefinedScoreError(
            f"no fold and context tests {MIN_PERTURBATIONS} perturbations of 2 cells or more, "
            "missed by different amounts"
        )
    return float(np.average(values, weights=sizes))


def _rank_correlation(
    stated: Float[np.ndarray, " units"], actual: Float[np.ndarray, " units"]
) -> float:
    """Return Spearman's correlation, ties at their mean rank; 0 where ``stated`` is constant."""
    if np.ptp(stated) == 0:
        return 0.0
    found = np.corrcoef(rankdata(stated), rankdata(actual))[0, 1]
    return float(np.clip(found, -1.0, 1.0))


METRIC = Metric(
    name="uncertainty_over_perturbations",
    label="Uncertainty against error, over perturbations",
    tasks=("perturbation_prediction",),
    compute=uncertainty_over_perturbations,
    bounds=(-1.0, 1.0),
    higher_is_better=True,
    citation="asked as in Roohani et al. 2024, doi:10.1038/s41587-023-01905-6",
    floor=0.0,
    needs_control=True,
    is_whole=True,
)
