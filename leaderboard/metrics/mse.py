"""How far is the predicted profile from the truth, all genes alike?"""

import math

import numpy as np

from leaderboard.spec import Metric, PerturbationUnit


def mse(case: PerturbationUnit) -> float:
    """Mean squared error over genes, in squared log1p units."""
    return float(np.mean((case.predicted - case.truth) ** 2))


METRIC = Metric(
    name="mse",
    label="MSE",
    tasks=("perturbation_prediction",),
    compute=mse,
    bounds=(0.0, math.inf),
    higher_is_better=False,
    citation="scikit-learn mean_squared_error",
    floor=None,
    ceiling="noise",
)
