"""Does a ranking know more about a regulator's targets than which genes many regulators share?"""

import math

from leaderboard.errors import UndefinedScoreError
from leaderboard.metrics._edges import expected_auprc, is_target, strength
from leaderboard.spec import Metric, RegulatorUnit


def auprc_ratio_degree(case: RegulatorUnit) -> float:
    """AUPRC over the mean of rankings drawn by in-degree; at 1, popular targets explain it all.

    The null draws targets one after the other with a chance proportional to their number of other
    regulators in the truth. It is frozen with the board.
    """
    hit = is_target(case)
    if not case.degree_auprc > 0:
        raise UndefinedScoreError("the board froze no degree-matched null for this regulator")
    return expected_auprc(strength(case), hit) / case.degree_auprc


METRIC = Metric(
    name="auprc_ratio_degree",
    label="AUPRC over degree-matched null",
    tasks=("gene_network",),
    compute=auprc_ratio_degree,
    bounds=(0.0, math.inf),
    higher_is_better=True,
    citation="AUPRC over rankings drawn by in-degree from other regulators, as in this project",
    floor=1.0,
)
