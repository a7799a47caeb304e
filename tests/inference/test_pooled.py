"""Ratios pooled over units: values, intervals and how often they hold the truth."""

import numpy as np
import pytest
from scipy import stats

from leaderboard.inference._paired import estimate, ratio_estimate
from leaderboard.inference.evidence import BoardEvidence
from leaderboard.inference.standings import build_standings
from tests.inference._boards import GROUPED, cells_of, constants, facts_of, score_rows


def drawn(rng: np.random.Generator, n_units: int) -> tuple[np.ndarray, np.ndarray]:
    """Recall of rare cells: donors differ in how many they hold and how many are found.

    The ratio of the population is .6: numbers of cells and rates are independent.
    """
    counts = 1 + rng.poisson(rng.gamma(2.0, 8.0, n_units))
    found = rng.binomial(counts, rng.beta(6.0, 4.0, n_units))
    return found / counts, counts.astype(np.float64)


@pytest.mark.parametrize("seed", range(5))
def test_the_mean_is_all_hits_over_all_cells(seed: int) -> None:
    values, counts = drawn(np.random.default_rng(seed), 9)
    found = ratio_estimate(values, counts)
    assert found.mean == pytest.approx((values * counts).sum() / counts.sum(), rel=1e-12)
    assert found.n == 9


def test_equal_counts_give_the_plain_interval() -> None:
    values = np.random.default_rng(0).random(8)
    plain, pooled = estimate(values), ratio_estimate(values, np.full(8, 17.0))
    assert (pooled.mean, pooled.low, pooled.high) == pytest.approx(
        (plain.mean, plain.low, plain.high)
    )


def test_the_standard_error_is_near_that_of_a_jackknife_over_units() -> None:
    values, counts = drawn(np.random.default_rng(1), 60)
    left_out = np.array(
        [ratio_estimate(np.delete(values, k), np.delete(counts, k)).mean for k in range(60)]
    )
    jackknife = np.sqrt(59 / 60 * ((left_out - left_out.mean()) ** 2).sum())
    found = ratio_estimate(values, counts)
    assert found.high is not None
    error = (found.high - found.mean) / stats.t.ppf(0.975, 59)
    assert error == pytest.approx(jackknife, rel=0.05)


def test_the_scale_of_the_counts_and_the_order_of_units_do_not_count() -> None:
    values, counts = drawn(np.random.default_rng(2), 7)
    one = ratio_estimate(values, counts)
    for other in (ratio_estimate(values, 3 * counts), ratio_estimate(values[::-1], counts[::-1])):
        assert (other.mean, other.low, other.high) == pytest.approx((one.mean, one.low, one.high))


def test_one_or_two_units_and_units_without_cells_have_no_interval() -> None:
    for n in (1, 2):
        found = ratio_estimate(np.ones(n), np.ones(n))
        assert (found.mean, found.low, found.high, found.n) == (1.0, None, None, n)
    nothing = ratio_estimate(np.ones(5), np.zeros(5))
    assert np.isnan(nothing.mean)
    assert nothing.low is None


@pytest.mark.parametrize(("n_units", "at_least"), [(8, 0.90), (20, 0.92)])
def test_intervals_hold_the_ratio_of_the_population_about_as_often_as_they_say(
    n_units: int, at_least: float
) -> None:
    """A linearised ratio is a little too narrow for few units (Cochran 1977, section 6.4)."""
    rng = np.random.default_rng(n_units)
    held, n = 0, 2000
    for _ in range(n):
        found = ratio_estimate(*drawn(rng, n_units))
        assert found.low is not None
        assert found.high is not None
        held += found.low <= 0.6 <= found.high
    error = np.sqrt(0.05 * 0.95 / n)
    assert at_least - 2 * error <= held / n <= 0.97 + 2 * error


def test_the_board_weighs_units_of_a_pooled_metric_by_their_cells() -> None:
    values = {"model": [1.0, 0.0, 0.5, 0.5]}
    rows = score_rows(GROUPED, "rare_recall", values, (0, 1))
    cells = {"u0": 90, "u1": 10, "u2": 50, "u3": 50}
    rows["n"] = rows["unit"].map(cells)
    item = BoardEvidence(
        board=GROUPED, suite="known_truth", release="test", source="recomputed", scores=rows,
        constants={"metrics": {"rare_recall": constants()}}, entries=facts_of(values),
    )  # fmt: skip
    cell = cells_of(build_standings(item, None), "rare_recall")["model"]
    expected = ratio_estimate(np.array(values["model"]), np.array(list(cells.values())) * 1.0)
    assert cell["value"] == pytest.approx(0.7)
    assert (cell["low"], cell["high"]) == pytest.approx((expected.low, expected.high))
    assert cell["units"] == dict(zip(cells, values["model"], strict=True))


def test_units_without_a_rare_cell_are_left_out_of_the_pool() -> None:
    rows = score_rows(GROUPED, "rare_recall", {"model": [1.0, 0.0, None, 0.5]})
    rows["n"] = [30, 10, 0, 20]
    item = BoardEvidence(
        board=GROUPED, suite="known_truth", release="test", source="recomputed", scores=rows,
        constants={"metrics": {"rare_recall": constants()}}, entries=facts_of(["model"]),
    )  # fmt: skip
    cell = cells_of(build_standings(item, None), "rare_recall")["model"]
    assert cell["value"] == pytest.approx((30 + 10) / 60)
    assert cell["n"] == 3
