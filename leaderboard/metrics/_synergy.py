"""What a pair of perturbations does beyond the sum of its singles."""

import numpy as np
from jaxtyping import Float

from leaderboard.errors import UndefinedScoreError
from leaderboard.spec import PerturbationUnit

Genes = Float[np.ndarray, " genes"]


def synergies(case: PerturbationUnit) -> tuple[Genes, Genes, Genes]:
    """Return predicted and true synergy and the standard error of the true one.

    Synergy is double - single a - single b + control. The singles are the measured ones on both
    sides, whoever may have seen them: what is asked is the pair. Each side has its own controls.
    """
    if case.singles is None or case.singles_error is None:
        raise UndefinedScoreError("not a pair of perturbations whose singles were both measured")
    error = np.nan_to_num(case.variance) / case.n + case.singles_error
    error = np.sqrt(error + np.nan_to_num(case.control_variance) / case.n_control)
    predicted = case.predicted - case.singles + case.control_input
    return predicted, case.truth - case.singles + case.control_truth, error
