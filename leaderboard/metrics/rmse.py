"""How far are the predicted proteins from the truth?"""

import math

import numpy as np

from leaderboard.spec import Metric, ModalityUnit


def rmse(case: ModalityUnit) -> float:
    """Root of the mean squared error over all cells and proteins of a unit; 0 is best.

    In the unit of the board. One root over all entries, as Open Problems' task takes it: proteins
    that vary much weigh more than in a mean of roots.
    """
    return math.sqrt(float(np.mean((case.predicted - case.truth) ** 2)))


METRIC = Metric(
    name="rmse",
    label="RMSE",
    tasks=("modality_prediction",),
    compute=rmse,
    bounds=(0.0, math.inf),
    higher_is_better=False,
    citation="scikit-learn root_mean_squared_error; as Open Problems' rmse",
    floor=None,
    ceiling="noise",
)
