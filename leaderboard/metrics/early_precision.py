"""Are the top predictions of a regulator, as many as it has targets, true?"""

import math

from leaderboard.metrics._edges import expected_hits, is_target, strength
from leaderboard.spec import Metric, RegulatorUnit


def early_precision(case: RegulatorUnit) -> float:
    """Precision among the top k of k true targets, over that of a random order; 1 is chance.

    A tie at place k, pairs that were not given among them, counts the share that is expected.
    """
    hit = is_target(case)
    k = int(hit.sum())
    return expected_hits(strength(case), hit) / k / (k / len(hit))


METRIC = Metric(
    name="early_precision",
    label="Early precision ratio",
    tasks=("gene_network",),
    compute=early_precision,
    bounds=(0.0, math.inf),
    higher_is_better=True,
    citation="Pratapa et al. 2020 (BEELINE), doi:10.1038/s41592-019-0690-6",
    floor=1.0,
)
