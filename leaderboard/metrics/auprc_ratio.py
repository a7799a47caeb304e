"""How many times better than a random order are a regulator's targets ranked?"""

import math

from leaderboard.metrics._edges import expected_auprc, is_target, random_auprc, strength
from leaderboard.spec import Metric, RegulatorUnit


def auprc_ratio(case: RegulatorUnit) -> float:
    """AUPRC over what a random order of the candidates is expected to have; 1 is chance.

    The expectation is exact. The share of targets, which others divide by, is its limit for many
    targets and lies below it for few: a random order would then score above 1.
    """
    hit = is_target(case)
    return expected_auprc(strength(case), hit) / random_auprc(hit)


METRIC = Metric(
    name="auprc_ratio",
    label="AUPRC ratio",
    tasks=("gene_network",),
    compute=auprc_ratio,
    bounds=(0.0, math.inf),
    higher_is_better=True,
    citation="Pratapa et al. 2020 (BEELINE), doi:10.1038/s41592-019-0690-6; exact expectation",
    floor=1.0,
    is_ranked=True,
)
