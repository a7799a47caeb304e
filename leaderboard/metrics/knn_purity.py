"""Are a cell's neighbours of its own type?"""

from leaderboard.embedding import K_GRAPH, own_mean
from leaderboard.spec import IntegrationUnit, Metric


def knn_purity(case: IntegrationUnit) -> float:
    """Mean over cells of the share of the 15 nearest other cells with the same label; 1 is best."""
    near = case.cells.neighbours.others(K_GRAPH)
    same = case.cells.label[near] == case.cells.label[:, None]
    return own_mean(case, same.mean(axis=1), "the unit has no cell")


METRIC = Metric(
    name="knn_purity",
    label="kNN label purity",
    tasks=("batch_integration",),
    compute=knn_purity,
    bounds=(0.0, 1.0),
    higher_is_better=True,
    citation="share of like labels among 15 neighbours",
    floor=None,
)
