"""Does the predicted shift go where the true shift goes?"""

import numpy as np

from leaderboard.errors import UndefinedScoreError
from leaderboard.metrics._errors import correlation
from leaderboard.spec import Metric, PerturbationUnit


def pearson_delta(case: PerturbationUnit) -> float:
    """Correlate predicted and true shift over genes, each from its own control half; 1 is best.

    Sharing one control mean on both sides would correlate its noise with itself.
    """
    predicted = case.predicted - case.control_input
    true = case.truth - case.control_truth
    if np.ptp(predicted) == 0 or np.ptp(true) == 0:
        side = "predicted" if np.ptp(predicted) == 0 else "true"
        raise UndefinedScoreError(f"the {side} shift is the same for all genes")
    return correlation(predicted, true)


METRIC = Metric(
    name="pearson_delta",
    label="Pearson delta",
    tasks=("perturbation_prediction",),
    compute=pearson_delta,
    bounds=(-1.0, 1.0),
    higher_is_better=True,
    citation="Roohani et al. 2024, doi:10.1038/s41587-023-01905-6",
    floor=0.0,
    ceiling="noise",
    is_ranked=True,
    needs_control=True,
)
