"""Does the prediction tell this perturbation from the average perturbation?"""

import numpy as np

from leaderboard.errors import UndefinedScoreError
from leaderboard.metrics._errors import correlation
from leaderboard.spec import Metric, PerturbationUnit

FLAT = 1e-12
"""Shifts spread less than this are one number up to rounding."""


def pearson_delta_reference(case: PerturbationUnit) -> float:
    """Correlate prediction and truth over genes, both less the mean of training perturbations.

    The reference is the equal-weight mean of the training perturbations' profiles, so a response
    that all perturbations share earns nothing; 1 is best. Undefined for the reference itself.
    """
    predicted, true = case.predicted - case.reference, case.truth - case.reference
    for side, shift in (("predicted", predicted), ("true", true)):
        if np.ptp(shift) <= FLAT:
            raise UndefinedScoreError(f"the {side} profile is the mean of training perturbations")
    return correlation(predicted, true)


METRIC = Metric(
    name="pearson_delta_reference",
    label="Pearson delta from the average perturbation",
    tasks=("perturbation_prediction",),
    compute=pearson_delta_reference,
    bounds=(-1.0, 1.0),
    higher_is_better=True,
    citation="Vinas Torne et al. 2025 (Systema), doi:10.1038/s41587-025-02777-8",
    floor=0.0,
    ceiling="noise",
    is_ranked=True,
    needs_control=True,
)
