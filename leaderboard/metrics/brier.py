"""How far are the stated probabilities from what the cells turned out to be?"""

import numpy as np

from leaderboard.metrics._probability import stated
from leaderboard.spec import AnnotationUnit, Metric


def brier(case: AnnotationUnit) -> float:
    """Mean over cells of the sum over labels of (probability - truth)^2; 0 is best, 2 is worst.

    A true label without a column was given probability 0.
    """
    probability = stated(case)
    column = {name: k for k, name in enumerate(case.names)}
    number = np.array([column.get(name, -1) for name in case.label])
    given = np.where(number >= 0, probability[np.arange(len(number)), number], 0.0)
    # sum (p - y)^2 = sum p^2 - 2 p_true + 1, with no table of zeros and ones.
    return float(np.mean(np.square(probability).sum(axis=1) - 2 * given + 1))


METRIC = Metric(
    name="brier",
    label="Brier score",
    tasks=("cell_type_annotation",),
    compute=brier,
    bounds=(0.0, 2.0),
    higher_is_better=False,
    citation="Brier 1950, doi:10.1175/1520-0493(1950)078<0001:VOFEIT>2.0.CO;2",
    floor=None,
)
