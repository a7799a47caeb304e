"""Are the genes that a pair moves beyond its singles the ones that are predicted to?"""

import numpy as np

from leaderboard.errors import UndefinedScoreError
from leaderboard.metrics._auroc import auroc
from leaderboard.metrics._synergy import synergies
from leaderboard.spec import Metric, PerturbationUnit

SIGNIFICANT = 3.0
"""Standard errors from zero at which a gene counts as synergistic."""


def synergy_auroc(case: PerturbationUnit) -> float:
    """Area under the ROC curve of abs predicted synergy for genes with a true one; .5 is chance."""
    predicted, true, error = synergies(case)
    positive = np.abs(true) > SIGNIFICANT * error
    n = int(positive.sum())
    if n == 0 or n == len(positive):
        raise UndefinedScoreError(f"{n} of {len(positive)} genes are synergistic")
    return auroc(np.round(np.abs(predicted), 12), positive)


METRIC = Metric(
    name="synergy_auroc",
    label="Synergy AUROC",
    tasks=("perturbation_prediction",),
    compute=synergy_auroc,
    bounds=(0.0, 1.0),
    higher_is_better=True,
    citation="scikit-learn roc_auc_score; synergy after Norman et al. 2019, "
    "doi:10.1126/science.aax4438",
    floor=0.5,
    ceiling="noise",
    needs_control=True,
)
