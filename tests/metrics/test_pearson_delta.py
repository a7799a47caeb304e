"""Pearson delta against scipy and a worked example."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import pearsonr

from leaderboard.errors import UndefinedScoreError
from leaderboard.metrics import METRICS
from tests.metrics._units import profile, random_unit, unit

pearson_delta = METRICS["pearson_delta"].compute


WORKED = unit(
    predicted=profile(2, 2, 2),
    truth=profile(4, 6, 9),
    control_input=profile(1, 2, 0),
    control_truth=profile(3, 4, 5),
    weight=np.ones(3),
    other_truths=np.zeros((0, 3)),
)


def test_a_worked_example() -> None:
    # Shifts (1, 0, 2) and (1, 2, 4): covariance 2, sums of squares 2 and 14/3.
    assert pearson_delta(WORKED) == pytest.approx(2 / np.sqrt(2 * 14 / 3))


@pytest.mark.parametrize("seed", range(10))
def test_it_equals_scipy_with_each_shift_from_its_own_controls(seed: int) -> None:
    case = random_unit(seed)
    expected = pearsonr(
        case.predicted - case.control_input, case.truth - case.control_truth
    ).statistic
    assert pearson_delta(case) == pytest.approx(expected, abs=1e-14)


def test_the_true_shift_scores_one_and_its_opposite_minus_one() -> None:
    case = random_unit(0)
    shift = case.truth - case.control_truth
    assert pearson_delta(replace(case, predicted=case.control_input + shift)) == pytest.approx(1.0)
    assert pearson_delta(replace(case, predicted=case.control_input - shift)) == pytest.approx(-1.0)


def test_size_and_offset_of_a_shift_do_not_count() -> None:
    case = random_unit(1)
    shift = case.predicted - case.control_input
    other = replace(case, predicted=case.control_input + 3 * shift + 5)
    assert pearson_delta(other) == pytest.approx(pearson_delta(case), abs=1e-12)


def test_the_control_mean_is_undefined_and_not_zero() -> None:
    with pytest.raises(UndefinedScoreError, match="the predicted shift is the same for all genes"):
        pearson_delta(replace(WORKED, predicted=WORKED.control_input))


def test_a_true_shift_without_variation_is_undefined() -> None:
    with pytest.raises(UndefinedScoreError, match="the true shift is the same for all genes"):
        pearson_delta(replace(WORKED, truth=WORKED.control_truth + 1))
