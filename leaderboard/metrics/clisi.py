"""Do cells of one type lie together?"""

import numpy as np

from leaderboard.embedding import check_several, lisi
from leaderboard.spec import IntegrationUnit, Metric


def clisi(case: IntegrationUnit) -> float:
    """(labels - median LISI of labels) / (labels - 1) over all cells; 1 is best.

    Equal to ``clisi_knn`` of scib-metrics on 90 neighbours. A median: half of the cells are not
    heard.
    """
    n_labels = check_several(case.cells.label, "label")
    found = np.nanmedian(lisi(case.cells.neighbours, case.cells.label))
    return float(np.clip((n_labels - found) / (n_labels - 1), 0.0, 1.0))


METRIC = Metric(
    name="clisi",
    label="cLISI",
    tasks=("batch_integration",),
    compute=clisi,
    bounds=(0.0, 1.0),
    higher_is_better=True,
    citation="Luecken et al. 2022, doi:10.1038/s41592-021-01336-8; scib-metrics 0.5.10",
    floor=None,
    is_whole=True,
)
