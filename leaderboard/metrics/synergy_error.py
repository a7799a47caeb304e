"""How much of a pair's synergy is left unexplained?"""

import math

import numpy as np

from leaderboard.errors import UndefinedScoreError
from leaderboard.metrics._synergy import synergies
from leaderboard.spec import Metric, PerturbationUnit


def synergy_error(case: PerturbationUnit) -> float:
    """Squared error of the synergy over the squared synergy; 1 is what adding the singles scores.

    Zero is perfect. Undefined but for pairs whose singles were both measured.
    """
    predicted, true, _ = synergies(case)
    size = float(np.mean(true**2))
    if not size > 0:
        raise UndefinedScoreError("the pair has no synergy at all")
    return float(np.mean((predicted - true) ** 2) / size)


METRIC = Metric(
    name="synergy_error",
    label="Synergy error",
    tasks=("perturbation_prediction",),
    compute=synergy_error,
    bounds=(0.0, math.inf),
    higher_is_better=False,
    citation="double - singles + control, after Norman et al. 2019, doi:10.1126/science.aax4438",
    floor=1.0,
    ceiling="noise",
    needs_control=True,
)
