"""When an entry is 80 % sure, is it right in 80 % of the cells?"""

import numpy as np

from leaderboard.metrics._probability import confidence, is_right
from leaderboard.spec import AnnotationUnit, Metric

N_BINS = 10


def ece(case: AnnotationUnit) -> float:
    """Mean gap between confidence and accuracy over 10 equal bins of confidence; 0 is best.

    Bins weigh by their cells and hold their lower edge, the last one both edges. An entry that
    knows nothing but the frequencies of labels is calibrated too: read it beside the Brier score.
    """
    sure = confidence(case)
    number = np.minimum((sure * N_BINS).astype(int), N_BINS - 1)
    gap = np.bincount(number, sure - is_right(case), minlength=N_BINS)
    return float(np.abs(gap).sum() / len(sure))


METRIC = Metric(
    name="ece",
    label="Calibration error",
    tasks=("cell_type_annotation",),
    compute=ece,
    bounds=(0.0, 1.0),
    higher_is_better=False,
    citation="Guo et al. 2017, arXiv:1706.04599",
    floor=None,
)
