"""Are batches mixed among cells of one type?"""

import numpy as np

from leaderboard.embedding import own_mean
from leaderboard.spec import IntegrationUnit, Metric


def cilisi(case: IntegrationUnit) -> float:
    """Mean over cells of (LISI of batches - 1) / (batches of the label - 1); 1 is best.

    LISI, the effective number of batches, is scib-metrics' on the 90 nearest cells (itself
    included, perplexity 30) of the cell's own label; a label with fewer cells takes all of them and
    a third as perplexity. So unlike iLISI it is not raised by mixing types. Labels with fewer than
    10 cells or in one batch only do not count.
    """
    return own_mean(
        case,
        case.cells.batch_mixing,
        "no cell of the unit has a label with 10 cells in two batches",
    )


def count(case: IntegrationUnit) -> int:
    """Return the number of cells that have a value."""
    return int(np.sum(case.cells.is_mixable & case.own))


METRIC = Metric(
    name="cilisi",
    label="ciLISI (batches, within type)",
    tasks=("batch_integration",),
    compute=cilisi,
    bounds=(0.0, 1.0),
    higher_is_better=True,
    citation="Andreatta et al. 2024, doi:10.1038/s41467-024-45240-z; LISI of scib-metrics 0.5.10",
    floor=0.0,
    is_ranked=True,
    count=count,
)
