"""Which share of a cell type gets its right label, every type counting the same?"""

import numpy as np

from leaderboard.errors import UndefinedScoreError
from leaderboard.spec import AnnotationUnit, Metric


def balanced_accuracy(case: AnnotationUnit) -> float:
    """Mean over the unit's classes of the share of their cells that got their label; 1 is best.

    Unlike macro F1 it does not see which cells of other types were given the label of the class.
    """
    if not case.classes:
        raise UndefinedScoreError("no class of the board has 5 cells in this unit")
    right = case.label == case.predicted
    return float(np.mean([np.mean(right[case.label == name]) for name in case.classes]))


METRIC = Metric(
    name="balanced_accuracy",
    label="Balanced accuracy",
    tasks=("cell_type_annotation",),
    compute=balanced_accuracy,
    bounds=(0.0, 1.0),
    higher_is_better=True,
    citation="Brodersen et al. 2010, doi:10.1109/ICPR.2010.764; classes are frozen per board",
    floor=None,
)
