"""Which share of the true effect is the prediction's error? (Virtual Cell Challenge 2026)"""

import math

from leaderboard.errors import UndefinedScoreError
from leaderboard.metrics._cells import controlled_sample_of
from leaderboard.spec import Metric, PerturbationUnit


def expr_mse_unbiased_capped_norm(case: PerturbationUnit) -> float:
    """Squared error over the panel's mean squared effect, sampling noise taken off both; 0 is best.

    The challenge divides sums over the panel. Here each perturbation's error is divided by the mean
    effect of the perturbations of its fold and context, so the mean of these values is that ratio.
    Predicting control scores about 1. Undefined where the panel has no effect beyond its noise.
    """
    sample = controlled_sample_of(case)
    effect = float(sample.truth.effects.mean())
    if not effect > 0:
        raise UndefinedScoreError("the perturbations of the fold differ from control by noise only")
    return float(sample.panel.errors[sample.row]) / effect


METRIC = Metric(
    name="expr_mse_unbiased_capped_norm",
    label="VCC 2026: expression error",
    tasks=("perturbation_prediction",),
    compute=expr_mse_unbiased_capped_norm,
    bounds=(-math.inf, math.inf),
    higher_is_better=False,
    citation="ArcInstitute/cell-eval2 0.20, vcc2026 preset, docs/vcc2026_metrics section 2",
    floor=1.0,
    ceiling="noise",
    needs_control=True,
)
