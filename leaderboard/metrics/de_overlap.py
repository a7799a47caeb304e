"""Are the genes that the prediction moves most the genes that truly respond?"""

import numpy as np
from jaxtyping import Bool, Float

from leaderboard.metrics._differential import check_contrast, predicted_test, true_response
from leaderboard.spec import Metric, PerturbationUnit


def de_overlap(case: PerturbationUnit) -> float:
    """Share of the k genes with the largest predicted abs t that truly respond; 1 is best.

    k is the true number, so calling more genes, or all, gains nothing. Genes that tie across the
    cut share the places left, so a prediction that moves nothing scores the share of tested genes
    that respond.
    """
    response = true_response(case)
    check_contrast(response)
    size = np.abs(predicted_test(case, response.tested).t)
    return expected_hits(size, response.called) / int(response.called.sum())


def expected_hits(size: Float[np.ndarray, " genes"], called: Bool[np.ndarray, " genes"]) -> float:
    """Return how many called genes are among the largest, on average over orders of ties.

    As many genes are taken as are called.
    """
    k = int(called.sum())
    cut = np.sort(size)[-k]
    above, tied = size > cut, size == cut
    share = (k - above.sum()) / tied.sum()
    return float(np.sum(called & above) + share * np.sum(called & tied))


METRIC = Metric(
    name="de_overlap",
    label="DE overlap at k",
    tasks=("perturbation_prediction",),
    compute=de_overlap,
    bounds=(0.0, 1.0),
    higher_is_better=True,
    citation="as in this project; k is the true number of responding genes",
    floor=None,
    ceiling="noise",
    needs_control=True,
)
