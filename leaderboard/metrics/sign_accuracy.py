"""Is it known whether a regulator raises or lowers its targets?"""

import numpy as np

from leaderboard.errors import UndefinedScoreError
from leaderboard.metrics._edges import is_target
from leaderboard.spec import Metric, RegulatorUnit


def sign_accuracy(case: RegulatorUnit) -> float:
    """Share of the true targets with a weight other than zero whose weight has the true sign.

    Only edges that were found count, so read it beside the AUPRC; 1 is best.
    """
    found = is_target(case) & case.is_given & (case.weight != 0)
    if not found.any():
        raise UndefinedScoreError("no true target was given a weight other than zero")
    return float(np.mean(np.sign(case.weight[found]) == case.sign[found]))


METRIC = Metric(
    name="sign_accuracy",
    label="Sign accuracy",
    tasks=("gene_network",),
    compute=sign_accuracy,
    bounds=(0.0, 1.0),
    higher_is_better=True,
    citation="share of true edges with the right sign, as in this project",
    floor=None,
)
