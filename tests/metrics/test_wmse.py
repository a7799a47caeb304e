"""The weighted squared error against scikit-learn, and its tie to the normalised one."""

import math
from dataclasses import replace

import numpy as np
import pytest
from sklearn.metrics import mean_squared_error

from leaderboard.errors import UndefinedScoreError
from leaderboard.metrics import METRICS
from tests.metrics._units import profile, random_unit, unit

wmse = METRICS["wmse"].compute


def test_a_worked_example() -> None:
    case = unit(predicted=profile(1, 2, 5), truth=profile(1, 4, 4), weight=profile(3, 1, 0))
    assert wmse(case) == pytest.approx(4 / 4)


@pytest.mark.parametrize("seed", range(10))
def test_it_equals_scikit_learn_with_sample_weights(seed: int) -> None:
    case = random_unit(seed)
    expected = mean_squared_error(case.truth, case.predicted, sample_weight=case.weight)
    assert wmse(case) == pytest.approx(expected, rel=1e-12)


def test_equal_weights_give_the_plain_error() -> None:
    case = replace(random_unit(0), weight=np.full(15, 0.3))
    assert wmse(case) == pytest.approx(METRICS["mse"].compute(case), rel=1e-12)


def test_the_normalised_error_is_the_log_of_its_ratio_to_that_of_the_control_mean() -> None:
    case = random_unit(1)
    control = wmse(replace(case, predicted=case.control_input))
    expected = math.log(wmse(case) / control)
    assert METRICS["nwmse"].compute(case) == pytest.approx(expected, rel=1e-12)


def test_the_scale_of_the_weights_does_not_count() -> None:
    case = random_unit(2)
    assert wmse(replace(case, weight=case.weight * 1e-6)) == pytest.approx(wmse(case), rel=1e-9)


def test_without_weights_it_is_undefined_and_says_why() -> None:
    with pytest.raises(UndefinedScoreError, match="no gene carries weight"):
        wmse(replace(random_unit(0), weight=np.zeros(15)))
