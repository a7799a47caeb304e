"""The absolute error over genes against scikit-learn."""

from dataclasses import replace

import numpy as np
import pytest
from sklearn.metrics import mean_absolute_error

from leaderboard.metrics import METRICS
from tests.metrics._units import profile, random_unit, unit

mae = METRICS["mae"].compute


def test_a_worked_example() -> None:
    assert mae(unit(predicted=profile(1, 2, 5), truth=profile(1, 4, 4))) == pytest.approx(1.0)


@pytest.mark.parametrize("seed", range(10))
def test_it_equals_scikit_learn(seed: int) -> None:
    case = random_unit(seed)
    assert mae(case) == pytest.approx(mean_absolute_error(case.truth, case.predicted), rel=1e-12)


def test_the_truth_scores_zero_and_the_sign_of_an_error_does_not_count() -> None:
    case = random_unit(1)
    assert mae(replace(case, predicted=case.truth)) == 0.0
    gap = case.predicted - case.truth
    assert mae(replace(case, predicted=case.truth - gap)) == pytest.approx(mae(case), rel=1e-12)


def test_it_is_not_above_the_root_of_the_squared_error() -> None:
    for seed in range(10):
        case = random_unit(seed)
        assert mae(case) <= np.sqrt(METRICS["mse"].compute(case)) + 1e-12
