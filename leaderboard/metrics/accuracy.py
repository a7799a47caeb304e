"""Which share of a unit's cells gets the right label?"""

import numpy as np

from leaderboard.spec import AnnotationUnit, Metric


def accuracy(case: AnnotationUnit) -> float:
    """Share of cells with the true label, every label counted; equal to micro F1."""
    return float(np.mean(case.label == case.predicted))


METRIC = Metric(
    name="accuracy",
    label="Accuracy",
    tasks=("cell_type_annotation",),
    compute=accuracy,
    bounds=(0.0, 1.0),
    higher_is_better=True,
    citation="scikit-learn accuracy_score",
    floor=None,
)
