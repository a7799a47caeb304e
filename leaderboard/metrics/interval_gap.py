"""When an entry gives 90 % intervals of its means, do they hold 90 % of them?"""

import numpy as np
from scipy.special import ndtri

from leaderboard.metrics._stated import stated_errors
from leaderboard.spec import Metric, PerturbationUnit

LEVEL = 0.9


def interval_coverage(case: PerturbationUnit) -> float:
    """Share of the genes whose measured mean lies in the 90 % interval of the prediction.

    A normal interval around the predicted mean, its variance that which the entry states plus the
    sampling variance of the measured mean.
    """
    found = stated_errors(case)
    reach = float(ndtri(0.5 + LEVEL / 2))
    return float(np.mean(np.abs(found.miss) <= reach * found.spread))


def interval_gap(case: PerturbationUnit) -> float:
    """Distance of that share from 90 %; 0 is best.

    Too wide counts like too narrow, but costs .1 at most: read it beside the CRPS, which intervals
    without end cannot win.
    """
    return abs(interval_coverage(case) - LEVEL)


METRIC = Metric(
    name="interval_gap",
    label="Coverage gap of 90 % intervals",
    tasks=("perturbation_prediction",),
    compute=interval_gap,
    bounds=(0.0, LEVEL),
    higher_is_better=False,
    citation="calibration of intervals as in Kuleshov et al. 2018, arXiv:1807.00263",
    floor=None,
    ceiling="noise",
    needs_control=True,
)
