"""How high are the true targets of a regulator among its candidates?"""

from leaderboard.metrics._edges import expected_auprc, is_target, strength
from leaderboard.spec import Metric, RegulatorUnit


def auprc(case: RegulatorUnit) -> float:
    """Area under the precision-recall curve (average precision) over one regulator's candidates.

    1 is best. Ties are scored by their expectation, so an order of rows can neither help nor hurt.
    """
    return expected_auprc(strength(case), is_target(case))


METRIC = Metric(
    name="auprc",
    label="AUPRC",
    tasks=("gene_network",),
    compute=auprc,
    bounds=(0.0, 1.0),
    higher_is_better=True,
    citation="Davis & Goadrich 2006, doi:10.1145/1143844.1143874; ties by expectation",
    floor=None,
)
