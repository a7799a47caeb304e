"""Are batches mixed, whatever the type? Shown because others report it: it rewards over-mixing."""

import numpy as np

from leaderboard.embedding import check_several, lisi
from leaderboard.spec import IntegrationUnit, Metric


def ilisi(case: IntegrationUnit) -> float:
    """(median LISI of batches - 1) / (batches - 1) over all cells; 1 is best.

    Equal to ``ilisi_knn`` of scib-metrics on 90 neighbours. Where batches differ in composition, a
    right answer mixes them less than a wrong one.
    """
    n_batches = check_several(case.cells.batch, "batch")
    found = np.nanmedian(lisi(case.cells.neighbours, case.cells.batch))
    return float(np.clip((found - 1) / (n_batches - 1), 0.0, 1.0))


METRIC = Metric(
    name="ilisi",
    label="iLISI (batches, over all types)",
    tasks=("batch_integration",),
    compute=ilisi,
    bounds=(0.0, 1.0),
    higher_is_better=True,
    citation="Luecken et al. 2022, doi:10.1038/s41592-021-01336-8; scib-metrics 0.5.10",
    floor=0.0,
    is_whole=True,
)
