"""Correlation beyond the average perturbation against scipy."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import pearsonr

from leaderboard.errors import UndefinedScoreError
from leaderboard.metrics import METRICS
from tests.metrics._units import profile, random_unit, unit

score = METRICS["pearson_delta_reference"].compute


def test_a_worked_example() -> None:
    # Beyond the reference: (1, 0, 2) and (1, 2, 4).
    case = unit(predicted=profile(2, 2, 2), truth=profile(2, 4, 4), reference=profile(1, 2, 0))
    assert score(case) == pytest.approx(2 / np.sqrt(2 * 14 / 3))


@pytest.mark.parametrize("seed", range(10))
def test_it_equals_scipy_of_profiles_less_the_reference(seed: int) -> None:
    case = random_unit(seed)
    expected = pearsonr(case.predicted - case.reference, case.truth - case.reference).statistic
    assert score(case) == pytest.approx(expected, abs=1e-13)


def test_what_all_perturbations_share_earns_nothing() -> None:
    """The same own effect scores the same whatever shift is common to truth and reference."""
    case = random_unit(0)
    common = np.random.default_rng(1).normal(scale=50, size=15)
    moved = replace(
        case,
        truth=case.truth + common,
        predicted=case.predicted + common,
        reference=case.reference + common,
    )
    assert score(moved) == pytest.approx(score(case), abs=1e-9)


def test_the_truth_scores_one_and_its_mirror_image_minus_one() -> None:
    case = random_unit(1)
    assert score(replace(case, predicted=case.truth)) == pytest.approx(1.0)
    mirror = 2 * case.reference - case.truth
    assert score(replace(case, predicted=mirror)) == pytest.approx(-1.0)


def test_the_average_perturbation_is_undefined_and_not_zero() -> None:
    case = random_unit(2)
    with pytest.raises(UndefinedScoreError, match="predicted profile is the mean of training"):
        score(replace(case, predicted=case.reference))
    rounded = case.reference + 1e-14 * np.random.default_rng(0).normal(size=15)
    with pytest.raises(UndefinedScoreError, match="predicted profile is the mean of training"):
        score(replace(case, predicted=rounded))


def test_a_truth_that_is_the_average_is_undefined() -> None:
    case = random_unit(3)
    with pytest.raises(UndefinedScoreError, match="true profile is the mean of training"):
        score(replace(case, truth=case.reference))
