"""Does every cell type of a unit get found, rare ones as much as common ones?"""

import numpy as np

from leaderboard.errors import UndefinedScoreError
from leaderboard.spec import AnnotationUnit, Metric


def macro_f1(case: AnnotationUnit) -> float:
    """Mean over the unit's classes of 2TP / (2TP + FP + FN); 1 is best.

    False positives count over all cells of the unit, those of labels outside the classes too. A
    class that is absent from the unit is not in ``case.classes``, so it is neither 0 nor 1.
    """
    if not case.classes:
        raise UndefinedScoreError("no class of the board has 5 cells in this unit")
    values = []
    for name in case.classes:
        true, said = case.label == name, case.predicted == name
        values.append(2 * np.sum(true & said) / (np.sum(true) + np.sum(said)))
    return float(np.mean(values))


METRIC = Metric(
    name="macro_f1",
    label="Macro F1",
    tasks=("cell_type_annotation",),
    compute=macro_f1,
    bounds=(0.0, 1.0),
    higher_is_better=True,
    citation="Sokolova & Lapalme 2009, doi:10.1016/j.ipm.2009.03.002; classes are frozen per board",
    floor=None,
    is_ranked=True,
)
