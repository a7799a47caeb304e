"""Do the genes that predicted cells call move the right way? (Virtual Cell Challenge 2026)"""

import numpy as np

from leaderboard.errors import UndefinedScoreError
from leaderboard.metrics._cells import controlled_sample_of
from leaderboard.spec import Metric, PerturbationUnit


def direction_fidelity(case: PerturbationUnit) -> float:
    """Predicted calls with the true sign, over the larger number of calls; 1 is best.

    The larger of the predicted and the true number, so calling more gains nothing and calling less
    costs. The perturbation's own targets do not count. Undefined where neither side calls a gene.
    """
    sample = controlled_sample_of(case)
    true, predicted = sample.true_table, sample.predicted_table
    moved = sample.scored & (true.change != 0)
    called = predicted.called & moved
    budget = max(int(called.sum()), int(np.sum(true.called & sample.scored)))
    if budget == 0:
        raise UndefinedScoreError("neither the true nor the predicted cells call a gene")
    right = called & (np.sign(predicted.change) == np.sign(true.change))
    return float(right.sum() / budget)


METRIC = Metric(
    name="de_wilcoxon_direction_fidelity_yield_raw",
    label="VCC 2026: direction fidelity",
    tasks=("perturbation_prediction",),
    compute=direction_fidelity,
    bounds=(0.0, 1.0),
    higher_is_better=True,
    citation="ArcInstitute/cell-eval2 0.20, vcc2026 preset, docs/vcc2026_metrics section 3",
    floor=None,
    ceiling="noise",
    needs_control=True,
)
