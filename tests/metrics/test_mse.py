"""The squared error over genes against scikit-learn."""

from dataclasses import replace

import numpy as np
import pytest
from sklearn.metrics import mean_squared_error

from leaderboard.metrics import METRICS
from tests.metrics._units import profile, random_unit, unit

mse = METRICS["mse"].compute


def test_a_worked_example() -> None:
    assert mse(unit(predicted=profile(1, 2, 5), truth=profile(1, 4, 4))) == pytest.approx(5 / 3)


@pytest.mark.parametrize("seed", range(10))
def test_it_equals_scikit_learn(seed: int) -> None:
    case = random_unit(seed)
    assert mse(case) == pytest.approx(mean_squared_error(case.truth, case.predicted), rel=1e-12)


def test_weights_and_controls_do_not_count() -> None:
    case = random_unit(0)
    other = replace(case, weight=case.weight * 0, control_input=case.control_truth)
    assert mse(other) == mse(case)


def test_the_truth_scores_zero() -> None:
    case = random_unit(1)
    assert mse(replace(case, predicted=case.truth)) == 0.0


def test_no_other_constant_errs_less_than_the_mean_of_the_truth() -> None:
    case = random_unit(2)
    levels = case.truth.mean() + np.linspace(-1, 1, 21)
    errors = [mse(replace(case, predicted=np.full(15, level))) for level in levels]
    assert int(np.argmin(errors)) == 10
