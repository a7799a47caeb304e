"""Do clusters of the embedding agree with the labels? By normalised mutual information."""

from leaderboard.embedding import check_several
from leaderboard.spec import IntegrationUnit, Metric


def nmi(case: IntegrationUnit) -> float:
    """Agreement of the labels with as many k-means clusters of all cells; 1 is best.

    Equal to ``nmi_ari_cluster_labels_kmeans`` of scib-metrics: one seeded start.
    """
    check_several(case.cells.label, "label")
    value: float = case.cells.kmeans["nmi"]
    return value


METRIC = Metric(
    name="nmi",
    label="NMI (k-means)",
    tasks=("batch_integration",),
    compute=nmi,
    bounds=(0.0, 1.0),
    higher_is_better=True,
    citation="Luecken et al. 2022, doi:10.1038/s41592-021-01336-8; scib-metrics 0.5.10",
    floor=0.0,
    is_whole=True,
)
