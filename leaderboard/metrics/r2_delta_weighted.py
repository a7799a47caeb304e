"""Which share of the true shift's weighted variance does the prediction explain?"""

import math

import numpy as np

from leaderboard.errors import UndefinedScoreError
from leaderboard.spec import Metric, PerturbationUnit


def r2_delta_weighted(case: PerturbationUnit) -> float:
    """Weighted R2 of the predicted against the true shift; 1 is best, it has no lower bound."""
    total = case.weight.sum()
    if not total > 0:
        raise UndefinedScoreError("all genes have the same t, so no gene carries weight")
    true, said = case.truth - case.control_truth, case.predicted - case.control_input
    spread = np.sum(case.weight * (true - np.sum(case.weight * true) / total) ** 2)
    if not spread > 0:
        raise UndefinedScoreError("the true shift is the same for all genes that carry weight")
    return float(1.0 - np.sum(case.weight * (true - said) ** 2) / spread)


METRIC = Metric(
    name="r2_delta_weighted",
    label="Weighted R2 of the shift",
    tasks=("perturbation_prediction",),
    compute=r2_delta_weighted,
    bounds=(-math.inf, 1.0),
    higher_is_better=True,
    citation="scikit-learn r2_score; weights as in wmse",
    floor=None,
    ceiling="noise",
    needs_control=True,
)
