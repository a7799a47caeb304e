"""Area under the ROC curve, from counting pairs."""

import numpy as np
from jaxtyping import Bool, Float


def auroc(score: Float[np.ndarray, " cases"], positive: Bool[np.ndarray, " cases"]) -> float:
    """Return the chance that a positive case scores above a negative one; ties count half.

    Needs at least one case of either kind.
    """
    negatives = np.sort(score[~positive])
    below = np.searchsorted(negatives, score[positive], side="left")
    not_above = np.searchsorted(negatives, score[positive], side="right")
    return float((below.sum() + not_above.sum()) / (2 * len(below) * len(negatives)))
