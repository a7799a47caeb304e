"""Of the genes that truly respond, how many does the prediction move the right way?"""

import numpy as np

from leaderboard.metrics._differential import true_response
from leaderboard.spec import Metric, PerturbationUnit


def de_direction(case: PerturbationUnit) -> float:
    """Share of truly responding genes whose predicted shift has the true sign; 1 is best.

    A gene that is predicted not to move counts half, like a tossed coin, so predicting control
    scores .5. The predicted shift starts from ``control_input`` and the true one from
    ``control_truth``: a shared control mean would pull both the same way.
    """
    response = true_response(case)
    shift = (case.predicted - case.control_input)[response.tested][response.called]
    up = response.up[response.called]
    return float(np.mean(np.where(shift == 0, 0.5, (shift > 0) == up)))


METRIC = Metric(
    name="de_direction",
    label="DE direction",
    tasks=("perturbation_prediction",),
    compute=de_direction,
    bounds=(0.0, 1.0),
    higher_is_better=True,
    citation="as in this project; Welch 1947, doi:10.1093/biomet/34.1-2.28; Benjamini & Hochberg "
    "1995, doi:10.1111/j.2517-6161.1995.tb02031.x",
    floor=0.5,
    ceiling="noise",
    needs_control=True,
)
