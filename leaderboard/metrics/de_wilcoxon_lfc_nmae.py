"""How wrong are the fold changes of the genes that respond? (Virtual Cell Challenge 2026)"""

import math

import numpy as np

from leaderboard.errors import UndefinedScoreError
from leaderboard.metrics._cells import controlled_sample_of
from leaderboard.spec import Metric, PerturbationUnit

MIN_GENES = 10
"""A ratio over fewer genes that just pass the threshold is noise."""


def lfc_nmae(case: PerturbationUnit) -> float:
    """Mean absolute error of log2 fold changes over their mean true size; 0 is best.

    Over the truly called genes, the perturbation's own targets left out: predicting no change
    scores 1. Undefined where fewer than 10 genes are called, which no entry can bring about.
    """
    sample = controlled_sample_of(case)
    gate = sample.true_table.called & sample.scored
    if gate.sum() < MIN_GENES:
        raise UndefinedScoreError(f"{gate.sum()} gene(s) called in the true cells; 10 needed")
    true = sample.true_table.change[gate]
    if not np.any(true):
        raise UndefinedScoreError("the called genes have no true fold change")
    return float(np.abs(sample.predicted_table.change[gate] - true).sum() / np.abs(true).sum())


METRIC = Metric(
    name="de_wilcoxon_lfc_nmae",
    label="VCC 2026: fold-change error",
    tasks=("perturbation_prediction",),
    compute=lfc_nmae,
    bounds=(0.0, math.inf),
    higher_is_better=False,
    citation="ArcInstitute/cell-eval2 0.20, vcc2026 preset, docs/vcc2026_metrics section 6",
    floor=1.0,
    ceiling="noise",
    needs_control=True,
)
