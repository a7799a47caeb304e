"""How far is the predicted profile from the truth, without squaring?"""

import math

import numpy as np

from leaderboard.spec import Metric, PerturbationUnit


def mae(case: PerturbationUnit) -> float:
    """Mean absolute error over genes, in log1p units."""
    return float(np.mean(np.abs(case.predicted - case.truth)))


METRIC = Metric(
    name="mae",
    label="MAE",
    tasks=("perturbation_prediction",),
    compute=mae,
    bounds=(0.0, math.inf),
    higher_is_better=False,
    citation="scikit-learn mean_absolute_error",
    floor=None,
    ceiling="noise",
)
