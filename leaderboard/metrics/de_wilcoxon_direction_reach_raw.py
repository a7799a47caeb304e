"""How deep in its own ranking does a prediction get directions right? (VCC 2026)"""

import numpy as np

from leaderboard.errors import UndefinedScoreError
from leaderboard.metrics._cells import controlled_sample_of
from leaderboard.spec import Metric, PerturbationUnit

PURITY = 0.9
"""Share of right signs that a prefix of the ranking must reach."""


def direction_reach(case: PerturbationUnit) -> float:
    """Depth to which 9 in 10 signs are right, over the number of truly called genes; 1 is best.

    The truly called genes, the perturbation's own targets left out, are ordered as predicted:
    calls first, then by adjusted p, p, size of the fold change, and name. The deepest prefix counts
    that reaches the purity, also where a shorter one does not. Undefined without a true call.
    """
    sample = controlled_sample_of(case)
    true, predicted = sample.true_table, sample.predicted_table
    pool = np.flatnonzero(true.called & sample.scored)
    if not len(pool):
        raise UndefinedScoreError("no gene is called in the true cells")
    keys = (
        sample.gene_order[pool],
        -np.abs(predicted.change[pool]),
        predicted.p[pool],
        predicted.adjusted[pool],
        ~predicted.called[pool],
    )
    ranked = pool[np.lexsort(keys)]
    moved = true.change[ranked] != 0
    right = moved & (np.sign(predicted.change[ranked]) == np.sign(true.change[ranked]))
    depth = np.cumsum(moved)
    pure = (depth > 0) & (np.cumsum(right) / np.maximum(depth, 1) >= PURITY)
    return float(depth[pure].max(initial=0) / len(pool))


METRIC = Metric(
    name="de_wilcoxon_direction_reach_raw",
    label="VCC 2026: direction reach",
    tasks=("perturbation_prediction",),
    compute=direction_reach,
    bounds=(0.0, 1.0),
    higher_is_better=True,
    citation="ArcInstitute/cell-eval2 0.20, vcc2026 preset, docs/vcc2026_metrics section 4",
    floor=None,
    ceiling="noise",
    needs_control=True,
)
