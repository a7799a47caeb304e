"""How much of the error of predicting no effect is left, in the genes that the effect moves?"""

import math

import numpy as np

from leaderboard.errors import UndefinedScoreError
from leaderboard.metrics._errors import weighted_mse
from leaderboard.spec import Metric, PerturbationUnit


def nwmse(case: PerturbationUnit) -> float:
    """Log of the weighted squared error over that of the control mean; 0 is no better than control.

    Units are means over units of this log; ``exp`` is for display, where 1 is the control mean and
    0 is perfect.
    """
    reference = weighted_mse(case.control_input, case)
    if reference == 0:
        raise UndefinedScoreError("the truth equals the control mean exactly")
    return math.log(max(weighted_mse(case.predicted, case), np.finfo(float).tiny) / reference)


METRIC = Metric(
    name="nwmse",
    label="Normalised weighted MSE",
    tasks=("perturbation_prediction",),
    compute=nwmse,
    bounds=(-math.inf, math.inf),
    higher_is_better=False,
    citation="weights after Mejia et al. 2025, doi:10.1101/2025.06.20.660817",
    floor=0.0,
    ceiling="noise",
    is_ranked=True,
    needs_control=True,
    display=math.exp,
    display_note="exp of the mean log ratio: 1 = control mean, 0 = perfect",
)
