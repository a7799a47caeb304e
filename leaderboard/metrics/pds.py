"""Is the prediction nearer to its own perturbation's truth than to the others'?"""

import numpy as np
from jaxtyping import Float

from leaderboard.errors import UndefinedScoreError
from leaderboard.spec import Metric, PerturbationUnit

MIN_PERTURBATIONS = 5
TIE = 1e-12
"""Cosines this close are equal: the same numbers summed in another order differ by less."""


def pds(case: PerturbationUnit) -> float:
    """One minus the share of other truths of the fold that are nearer; 1 is best, .5 is chance.

    Nearness is the cosine of shifts. Ties count half, and a prediction without a shift is equally
    near to all, so it scores .5.
    """
    n = len(case.other_truths) + 1
    if n < MIN_PERTURBATIONS:
        raise UndefinedScoreError(
            f"{n} test perturbation(s) in the fold; {MIN_PERTURBATIONS} needed"
        )
    truths = np.vstack([case.truth, case.other_truths]) - case.control_truth
    near = _cosine(case.predicted - case.control_input, truths)
    gap = near[1:] - near[0]
    k = np.sum(gap > TIE) + 0.5 * np.sum(np.abs(gap) <= TIE)
    return float(1 - k / (n - 1))


def _cosine(
    shift: Float[np.ndarray, " genes"], truths: Float[np.ndarray, "truths genes"]
) -> Float[np.ndarray, " truths"]:
    norm = np.linalg.norm(truths, axis=1) * np.linalg.norm(shift)
    dot: Float[np.ndarray, " truths"] = truths @ shift
    cosine: Float[np.ndarray, " truths"] = np.zeros_like(dot)
    np.divide(dot, norm, out=cosine, where=norm > 0)
    return cosine


METRIC = Metric(
    name="pds",
    label="Perturbation discrimination",
    tasks=("perturbation_prediction",),
    compute=pds,
    bounds=(0.0, 1.0),
    higher_is_better=True,
    citation="Wu et al. 2024 (PerturBench), arXiv:2408.10609; cosine and fold as in this project",
    floor=0.5,
    ceiling="replicate",
    is_ranked=True,
    needs_control=True,
)
