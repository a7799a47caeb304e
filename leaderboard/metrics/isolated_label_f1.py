"""Do types that few batches hold keep a cluster of their own?"""

import numpy as np

from leaderboard.errors import UndefinedScoreError
from leaderboard.spec import IntegrationUnit, Metric

MIN_UNIT_CELLS = 5


def isolated_label_f1(case: IntegrationUnit) -> float:
    """Mean over the isolated labels of 2TP / (2TP + FP + FN) among the unit's cells; 1 is best.

    Isolated are the labels that the fewest batches hold, of those with at least 10 cells: frozen
    per board, and all of them where every batch holds every label. Each is taken with the one
    cluster of all cells, at any of 5 Leiden resolutions from .2 to 2, that has the highest F1 for
    it over all batches; the unit counts the cells of its own batch, and labels with at least 5 of
    them.
    """
    values = []
    for name, chosen in case.cells.best_clusters.items():
        is_label, is_chosen = (case.cells.label == name)[case.own], chosen[case.own]
        if is_label.sum() >= MIN_UNIT_CELLS:
            values.append(2 * np.sum(is_label & is_chosen) / (is_label.sum() + is_chosen.sum()))
    if not values:
        raise UndefinedScoreError("no isolated label has 5 cells in this unit")
    return float(np.mean(values))


METRIC = Metric(
    name="isolated_label_f1",
    label="Isolated-label F1",
    tasks=("batch_integration",),
    compute=isolated_label_f1,
    bounds=(0.0, 1.0),
    higher_is_better=True,
    citation="Luecken et al. 2022, doi:10.1038/s41592-021-01336-8; here per batch",
    floor=None,
    is_ranked=True,
)
