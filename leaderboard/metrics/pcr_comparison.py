"""How much less of the variance do batches explain than before integration?"""

from leaderboard.embedding import check_several, variance_explained
from leaderboard.errors import UndefinedScoreError
from leaderboard.spec import IntegrationUnit, Metric


def pcr_comparison(case: IntegrationUnit) -> float:
    """Drop of the share of variance that batches explain, over that share before; 1 is best.

    A share that rises scores 0.

    Equal to ``pcr_comparison`` of scib-metrics with categorical batches. *Before* is that of 50
    principal components of the log counts, frozen per board. Shuffled cells score 1.
    """
    check_several(case.cells.batch, "batch")
    before = case.cells.batch_variance
    if not before:
        raise UndefinedScoreError("batches explain no variance before integration")
    after = variance_explained(case.cells.embedding, case.cells.batch)
    return max(0.0, 1.0 - after / float(before))


METRIC = Metric(
    name="pcr_comparison",
    label="PCR comparison",
    tasks=("batch_integration",),
    compute=pcr_comparison,
    bounds=(0.0, 1.0),
    higher_is_better=True,
    citation="Luecken et al. 2022, doi:10.1038/s41592-021-01336-8; scib-metrics 0.5.10",
    floor=0.0,
    is_whole=True,
)
