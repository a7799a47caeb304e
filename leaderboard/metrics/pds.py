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
    others = np.arange(len(case.other_truths)) != (-1 if case.own is None else case.own)
    n = int(others.sum()) + 1
    if n < MIN_PERTURBATIONS:
        raise UndefinedScoreError(
            f"{n} test perturbation(s) in the fold; {MIN_PERTURBATIONS} needed"
        )
    norms = case.other_norms
    if norms is None:
        norms = np.linalg.norm(case.other_truths - case.control_truth, axis=1)
    near = _cosine(case, case.other_truths, norms)
    if case.own is None:
        own_shift = (case.truth - case.control_truth)[None, :]
        own = _cosine(case, case.truth[None, :], np.linalg.norm(own_shift, axis=1))[0]
    else:
        own = near[case.own]
    gap = near[others] - own
    k = np.sum(gap > TIE) + 0.5 * np.sum(np.abs(gap) <= TIE)
    return float(1 - k / (n - 1))


def _cosine(
    case: PerturbationUnit,
    truths: Float[np.ndarray, "truths genes"],
    norms: Float[np.ndarray, " truths"],
) -> Float[np.ndarray, " truths"]:
    """Return the cosine of the predicted shift to that of every truth."""
    shift = case.predicted - case.control_input
    norm = norms * np.linalg.norm(shift)
    dot: Float[np.ndarray, " truths"] = truths @ shift - case.control_truth @ shift
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
    ceiling="noise",
    is_ranked=True,
    compares=True,
    needs_control=True,
)
