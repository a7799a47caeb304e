"""Are the rare cells found, those that a mean over common types does not see?"""

import numpy as np
from jaxtyping import Bool

from leaderboard.errors import UndefinedScoreError
from leaderboard.spec import AnnotationUnit, Metric


def rare_cells(case: AnnotationUnit) -> Bool[np.ndarray, " cells"]:
    """Return which cells have a rare label that training held.

    No classifier can recall a label that it never met: such cells count in `open_set_auroc` alone.
    """
    rare: Bool[np.ndarray, " cells"] = np.isin(case.label, case.rare)
    return rare if case.is_unseen is None else rare & ~case.is_unseen


def rare_recall(case: AnnotationUnit) -> float:
    """Share of the rare cells that got their true label; 1 is best.

    Rare labels are frozen per board: those outside its classes, or with less than 1 % of its cells.
    """
    rare = rare_cells(case)
    if not rare.any():
        raise UndefinedScoreError("no cell of this unit has a rare label that training held")
    return float(np.mean(case.label[rare] == case.predicted[rare]))


def count(case: AnnotationUnit) -> int:
    """Return the number of rare cells, by which units weigh."""
    return int(rare_cells(case).sum())


METRIC = Metric(
    name="rare_recall",
    label="Rare recall",
    tasks=("cell_type_annotation",),
    compute=rare_recall,
    bounds=(0.0, 1.0),
    higher_is_better=True,
    citation="recall over the board's rare labels, pooled over units",
    floor=None,
    is_pooled=True,
    count=count,
)
