"""Do predicted and true cells call the same genes? (Virtual Cell Challenge 2026)"""

import numpy as np

from leaderboard.metrics._cells import controlled_sample_of
from leaderboard.spec import Metric, PerturbationUnit


def sig_jaccard(case: PerturbationUnit) -> float:
    """Genes that both sides call over genes that either calls; 1 is best.

    The perturbation's own targets are left out. Where neither side calls a gene they agree: 1.
    """
    sample = controlled_sample_of(case)
    true = sample.true_table.called & sample.scored
    predicted = sample.predicted_table.called & sample.scored
    either = int(np.sum(true | predicted))
    return float(np.sum(true & predicted) / either) if either else 1.0


METRIC = Metric(
    name="de_wilcoxon_sig_jaccard",
    label="VCC 2026: agreement of calls",
    tasks=("perturbation_prediction",),
    compute=sig_jaccard,
    bounds=(0.0, 1.0),
    higher_is_better=True,
    citation="ArcInstitute/cell-eval2 0.20, vcc2026 preset, docs/vcc2026_metrics section 5",
    floor=None,
    ceiling="noise",
    needs_control=True,
)
