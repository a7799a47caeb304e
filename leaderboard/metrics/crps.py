"""Is the stated uncertainty sharp where the prediction is right, and wide where it is wrong?"""

import math

import numpy as np
from scipy.special import ndtr

from leaderboard.metrics._stated import stated_errors
from leaderboard.spec import Metric, PerturbationUnit


def crps(case: PerturbationUnit) -> float:
    """Mean over genes of the continuous ranked probability score, in log1p units; 0 is best.

    Of a normal distribution with the predicted mean and the stated variance plus the sampling
    variance of the measured mean. A proper score: no other variance than the true one of the error
    makes it smaller on average.
    """
    found = stated_errors(case)
    z = found.miss / found.spread
    density = np.exp(-(z**2) / 2) / math.sqrt(2 * math.pi)
    values = found.spread * (z * (2 * ndtr(z) - 1) + 2 * density - 1 / math.sqrt(math.pi))
    return float(np.mean(values))


METRIC = Metric(
    name="crps",
    label="CRPS of the means",
    tasks=("perturbation_prediction",),
    compute=crps,
    bounds=(0.0, float("inf")),
    higher_is_better=False,
    citation="Gneiting & Raftery 2007, doi:10.1198/016214506000001437",
    floor=None,
    ceiling="noise",
    needs_control=True,
)
