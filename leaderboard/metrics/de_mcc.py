"""Does the prediction call the genes that truly respond, and no others?"""

import math

import numpy as np

from leaderboard.metrics._differential import (
    ALPHA,
    benjamini_hochberg,
    check_contrast,
    predicted_test,
    true_response,
)
from leaderboard.spec import Metric, PerturbationUnit


def de_mcc(case: PerturbationUnit) -> float:
    """Matthews correlation of predicted and true calls over the tested genes; 1 is best.

    Calling every gene, or none, says nothing about which respond and scores 0, the value that calls
    at random have on average.
    """
    response = true_response(case)
    check_contrast(response)
    called = benjamini_hochberg(predicted_test(case, response.tested).p) < ALPHA
    n, both = len(called), float(np.sum(called & response.called))
    true, said = float(response.called.sum()), float(called.sum())
    spread = true * (n - true) * said * (n - said)
    return (n * both - true * said) / math.sqrt(spread) if spread > 0 else 0.0


METRIC = Metric(
    name="de_mcc",
    label="DE calls, Matthews correlation",
    tasks=("perturbation_prediction",),
    compute=de_mcc,
    bounds=(-1.0, 1.0),
    higher_is_better=True,
    citation="Matthews 1975, doi:10.1016/0005-2795(75)90109-9; calls as in de_direction",
    floor=0.0,
    ceiling="noise",
    needs_control=True,
)
