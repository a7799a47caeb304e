"""Does the probe rank genes with the property above those of the same family without it?"""

import numpy as np

from leaderboard.errors import UndefinedScoreError
from leaderboard.metrics._auroc import auroc
from leaderboard.spec import GenePropertyUnit, Metric


def property_auroc_matched(case: GenePropertyUnit) -> float:
    """AUROC over pairs of genes of one family only, every pair of the fold with the same weight.

    A family is what shares the leading letters of its symbols; the genes of no large family are
    compared with each other. Knowing the large families then tells nothing.
    """
    won = pairs = 0.0
    for name in np.unique(case.family):
        own = case.family == name
        has = case.has_property[own]
        n = float(has.sum() * (~has).sum())
        if n:
            won += n * auroc(case.score[own], has)
            pairs += n
    if not pairs:
        raise UndefinedScoreError("no family holds genes with the property and genes without it")
    return won / pairs


METRIC = Metric(
    name="property_auroc_matched",
    label="AUROC within family",
    tasks=("gene_property",),
    compute=property_auroc_matched,
    bounds=(0.0, 1.0),
    higher_is_better=True,
    citation="van Elteren 1960, stratified Wilcoxon test, here by gene family",
    floor=0.5,
    is_ranked=True,
)
