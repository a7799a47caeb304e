"""Intervals and CRPS of predicted means against simulation, integration and scipy."""

from dataclasses import replace

import numpy as np
import pytest
from scipy import integrate, stats

from leaderboard.errors import UndefinedScoreError
from leaderboard.metrics.crps import crps
from leaderboard.metrics.interval_gap import LEVEL, interval_coverage, interval_gap
from leaderboard.spec import PerturbationUnit
from tests.metrics._units import unit

GENES = 20_000
N = 50


def drawn(error: float, stated: float, *, variance: float = 0.5, seed: int = 0) -> PerturbationUnit:
    """Means that miss the noise-free truth by N(0, error); the truth is measured in 50 cells."""
    rng = np.random.default_rng(seed)
    true = rng.uniform(1.0, 3.0, GENES)
    return unit(
        truth=true + rng.normal(0, np.sqrt(variance / N), GENES),
        predicted=true + rng.normal(0, np.sqrt(error), GENES),
        control_truth=true,
        variance=np.full(GENES, variance),
        predicted_error=np.full(GENES, stated),
    )


@pytest.mark.parametrize("error", [0.0, 0.003, 0.04, 1.0])
def test_an_honest_entry_covers_ninety_percent_whatever_the_noise_of_the_truth(
    error: float,
) -> None:
    case = drawn(error, error)
    assert interval_coverage(case) == pytest.approx(LEVEL, abs=3 * np.sqrt(0.09 / GENES))
    assert interval_gap(case) == abs(interval_coverage(case) - LEVEL)


@pytest.mark.parametrize("stated", [0.0, 0.01, 0.16])
def test_coverage_of_a_wrong_variance_is_what_the_normal_distribution_says(stated: float) -> None:
    error, noise = 0.04, 0.5 / N
    reach = stats.norm.ppf(0.95) * np.sqrt((stated + noise) / (error + noise))
    expected = 2 * stats.norm.cdf(reach) - 1
    assert interval_coverage(drawn(error, stated)) == pytest.approx(expected, abs=0.01)


def test_without_the_noise_of_the_truth_an_honest_entry_would_look_too_sure() -> None:
    """The reason to add it: a perfect mean with stated variance 0 is covered in 90 %, not 0 %."""
    case = drawn(0.0, 0.0)
    assert np.mean(case.truth == case.predicted) == 0
    assert interval_coverage(case) > 0.89


def test_crps_is_the_integral_of_the_squared_distance_to_a_step() -> None:
    rng = np.random.default_rng(1)
    for _ in range(12):
        mean, measured = rng.uniform(1, 3, 2)
        stated, variance = rng.uniform(0.001, 0.3, 2)
        case = unit(
            truth=np.array([measured]), predicted=np.array([mean]), control_truth=np.ones(1) * 2,
            variance=np.array([variance]), predicted_error=np.array([stated]),
        )  # fmt: skip
        normal = stats.norm(mean, np.sqrt(stated + variance / N))
        below = integrate.quad(lambda x, d=normal: d.cdf(x) ** 2, -20, measured, limit=200)[0]
        above = integrate.quad(lambda x, d=normal: d.sf(x) ** 2, measured, 20, limit=200)[0]
        assert crps(case) == pytest.approx(below + above, abs=1e-6)


@pytest.mark.parametrize("error", [0.003, 0.04, 0.3])
def test_no_stated_variance_beats_the_true_one(error: float) -> None:
    honest = crps(drawn(error, error))
    for factor in (0.0, 0.25, 0.5, 2.0, 4.0, 100.0):
        assert crps(drawn(error, factor * error)) > honest


def test_intervals_without_end_lose_on_crps_though_the_gap_is_small() -> None:
    honest, endless = drawn(0.04, 0.04), drawn(0.04, 1e4)
    assert interval_gap(endless) == pytest.approx(0.1)
    assert crps(endless) > 50 * crps(honest)


def test_genes_are_chosen_by_control_cells_and_truth_alone() -> None:
    case = drawn(0.04, 0.04)
    hidden = case.control_truth.copy()
    hidden[::2] = 0.0
    wild = case.predicted.copy()
    wild[::2] = 99.0
    spoiled = replace(case, control_truth=hidden, predicted=wild)
    shown = interval_coverage(spoiled)
    assert shown == pytest.approx(LEVEL, abs=0.01)
    constant = case.variance.copy()
    constant[1::2] = 0.0
    with pytest.raises(UndefinedScoreError, match="no gene that control cells express varies"):
        crps(replace(spoiled, variance=constant))


def test_without_a_stated_variance_or_a_second_cell_nothing_is_scored() -> None:
    case = drawn(0.04, 0.04)
    for metric in (interval_gap, crps):
        with pytest.raises(UndefinedScoreError, match="states no uncertainty"):
            metric(replace(case, predicted_error=None))
        with pytest.raises(UndefinedScoreError, match="2 test cells"):
            metric(replace(case, n=1))


def test_the_predicted_variance_over_cells_is_no_uncertainty_of_the_mean() -> None:
    case = replace(drawn(0.04, 0.04), predicted_error=None, predicted_variance=np.ones(GENES))
    with pytest.raises(UndefinedScoreError, match="states no uncertainty"):
        interval_gap(case)
