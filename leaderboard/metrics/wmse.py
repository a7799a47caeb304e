"""How far is the predicted profile from the truth, in the genes that the effect moves?"""

import math

import numpy as np

from leaderboard.metrics._errors import weighted_mse
from leaderboard.spec import Metric, PerturbationUnit


def wmse(case: PerturbationUnit) -> float:
    """Weighted mean squared error in squared log1p units; a few strong units dominate its mean."""
    return weighted_mse(np.asarray(case.predicted), case)


METRIC = Metric(
    name="wmse",
    label="Weighted MSE",
    tasks=("perturbation_prediction",),
    compute=wmse,
    bounds=(0.0, math.inf),
    higher_is_better=False,
    citation="Mejia et al. 2025, doi:10.1101/2025.06.20.660817",
    floor=None,
    ceiling="noise",
    needs_control=True,
)
