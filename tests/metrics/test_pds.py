"""Perturbation discrimination against worked numbers and a loop over scipy's cosine."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.spatial.distance import cosine

from leaderboard.errors import UndefinedScoreError
from leaderboard.metrics import METRICS
from leaderboard.spec import PerturbationUnit
from tests.metrics._units import unit

pds = METRICS["pds"].compute


def shifts(predicted: object, own: object, others: object) -> PerturbationUnit:
    """Shifts, as both control halves are zero."""
    return unit(
        predicted=np.asarray(predicted, dtype=np.float64),
        truth=np.asarray(own, dtype=np.float64),
        other_truths=np.asarray(others, dtype=np.float64),
    )


def fold(seed: int, n: int = 8, genes: int = 12) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return true profiles and both control means of one fold."""
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, genes)), *rng.normal(scale=0.2, size=(2, genes))


def unit_of(seed: int, own: int, predicted: np.ndarray) -> PerturbationUnit:
    truths, control_input, control_truth = fold(seed)
    return unit(
        predicted=predicted, truth=truths[own], control_input=control_input,
        control_truth=control_truth, other_truths=np.delete(truths, own, axis=0),
    )  # fmt: skip


def naive(case: PerturbationUnit) -> float:
    shift = case.predicted - case.control_input
    own = cosine(shift, case.truth - case.control_truth)
    others = [cosine(shift, other - case.control_truth) for other in case.other_truths]
    nearer = sum(1.0 if d < own else 0.5 if d == own else 0.0 for d in others)
    return 1 - nearer / len(others)


def test_a_worked_example() -> None:
    # Cosines: own .8; others .6, -.8, 1, -.6: one of four is nearer.
    others = [[0, 1], [-1, 0], [0.8, 0.6], [0, -1]]
    assert pds(shifts([0.8, 0.6], [1, 0], others)) == pytest.approx(0.75)


def test_a_tie_counts_half() -> None:
    others = [[2, 0], [0, 1], [0, -1], [-1, 0]]
    assert pds(shifts([1, 0], [1, 0], others)) == pytest.approx(1 - 0.5 / 4)


@pytest.mark.parametrize("seed", range(10))
def test_it_equals_a_loop_over_scipy(seed: int) -> None:
    predicted = np.random.default_rng(100 + seed).normal(size=12)
    case = unit_of(seed, seed % 8, predicted)
    assert pds(case) == pytest.approx(naive(case))


def test_a_prediction_without_a_shift_scores_a_half() -> None:
    truths, control_input, _ = fold(0)
    assert all(pds(unit_of(0, own, control_input)) == 0.5 for own in range(len(truths)))


@pytest.mark.parametrize("seed", range(5))
def test_one_profile_for_all_perturbations_scores_a_half_over_the_fold(seed: int) -> None:
    predicted = np.random.default_rng(200 + seed).normal(size=12)
    values = [pds(unit_of(seed, own, predicted)) for own in range(8)]
    assert np.mean(values) == pytest.approx(0.5)


def test_the_truth_scores_one_even_over_another_half_of_controls() -> None:
    truths, control_input, control_truth = fold(3)
    for own, truth in enumerate(truths):
        assert pds(unit_of(3, own, truth - control_truth + control_input)) == 1.0


def test_the_opposite_of_the_truth_scores_zero() -> None:
    directions = np.eye(5)
    values = [
        pds(shifts(-directions[k], directions[k], np.delete(directions, k, axis=0)))
        for k in range(5)
    ]
    assert values == [0.0] * 5


def test_the_size_of_a_shift_does_not_count() -> None:
    case = unit_of(1, 2, np.random.default_rng(9).normal(size=12))
    shift = case.predicted - case.control_input
    longer = replace(case, predicted=case.control_input + 1000 * shift)
    assert pds(longer) == pytest.approx(pds(case))


def test_fewer_than_five_perturbations_are_undefined_and_counted() -> None:
    with pytest.raises(UndefinedScoreError, match=r"4 test perturbation\(s\) in the fold; 5"):
        pds(shifts([1, 0], [1, 0], [[0, 1], [-1, 0], [0, -1]]))
    assert pds(shifts([1, 0], [1, 0], [[0, 1], [-1, 0], [0, -1], [-1, -1]])) == 1.0


def test_others_without_a_shift_are_equally_near_to_all() -> None:
    others = np.zeros((4, 2))
    assert pds(shifts([1, 0], [0.5, 0.1], others)) == 1.0
    assert pds(shifts([1, 0], [-0.5, 0.1], others)) == 0.0


def test_the_floor_is_what_an_uninformed_prediction_scores() -> None:
    rng = np.random.default_rng(0)
    values = [pds(unit_of(seed, 0, rng.normal(size=12))) for seed in range(400)]
    assert np.mean(values) == pytest.approx(0.5, abs=3 * np.std(values) / np.sqrt(len(values)))
    assert METRICS["pds"].floor == 0.5
