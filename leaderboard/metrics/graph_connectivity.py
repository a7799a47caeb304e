"""Do all cells of a type hang together in the graph of neighbours?"""

from leaderboard.embedding import K_GRAPH, load_scib
from leaderboard.spec import IntegrationUnit, Metric


def graph_connectivity(case: IntegrationUnit) -> float:
    """Mean over labels of the share of cells in the largest connected part; 1 is best.

    Equal to scib-metrics' function of the same name: strongly connected parts of the directed graph
    of 15 neighbours, each cell one of its own.
    """
    graph = case.cells.neighbours.first(K_GRAPH)
    return float(load_scib().graph_connectivity(graph, case.cells.label))


METRIC = Metric(
    name="graph_connectivity",
    label="Graph connectivity",
    tasks=("batch_integration",),
    compute=graph_connectivity,
    bounds=(0.0, 1.0),
    higher_is_better=True,
    citation="Luecken et al. 2022, doi:10.1038/s41592-021-01336-8; scib-metrics 0.5.10",
    floor=0.0,
    is_whole=True,
)
