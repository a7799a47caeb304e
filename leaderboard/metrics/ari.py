"""Do clusters of the embedding agree with the labels? By adjusted Rand index."""

from leaderboard.embedding import check_several
from leaderboard.spec import IntegrationUnit, Metric


def ari(case: IntegrationUnit) -> float:
    """Agreement of the labels with as many k-means clusters of all cells; 1 is best.

    Equal to ``nmi_ari_cluster_labels_kmeans`` of scib-metrics: one seeded start.
    """
    check_several(case.cells.label, "label")
    value: float = case.cells.kmeans["ari"]
    return value


METRIC = Metric(
    name="ari",
    label="ARI (k-means)",
    tasks=("batch_integration",),
    compute=ari,
    bounds=(-1.0, 1.0),
    higher_is_better=True,
    citation="Luecken et al. 2022, doi:10.1038/s41592-021-01336-8; scib-metrics 0.5.10",
    floor=0.0,
    is_whole=True,
)
