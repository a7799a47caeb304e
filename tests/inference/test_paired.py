"""Intervals and tests against scipy, statsmodels and brute force."""

import itertools

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.multitest import multipletests  # type: ignore[import-untyped]

from leaderboard.inference._paired import estimate, holm
from tests.inference._boards import difference, draw, flip_p


@pytest.mark.parametrize("n", [3, 8, 40])
@pytest.mark.parametrize("alpha", [0.05, 0.01])
def test_the_interval_is_scipys_t_interval(n: int, alpha: float) -> None:
    values = draw(n, n)
    low, high = stats.t.interval(1 - alpha, n - 1, loc=values.mean(), scale=stats.sem(values))
    found = estimate(values, alpha)
    assert (found.mean, found.low, found.high) == pytest.approx((values.mean(), low, high))
    assert found.n == n


@pytest.mark.parametrize("n", [1, 2])
def test_one_or_two_units_are_a_point_without_an_interval(n: int) -> None:
    found = estimate(np.arange(n, dtype=float))
    assert (found.mean, found.low, found.high, found.n) == (np.arange(n).mean(), None, None, n)
    lead = difference(np.ones(n), np.zeros(n), "b", higher_is_better=True)
    assert (lead.p_better, lead.p_worse, lead.p_sign_flip) == (None, None, None)


@pytest.mark.parametrize("seed", range(5))
def test_the_one_sided_p_is_scipys_paired_t(seed: int) -> None:
    entry, baseline = draw(seed, 9), draw(100 + seed, 9)
    found = difference(entry, baseline, "b", higher_is_better=True)
    greater = stats.ttest_rel(entry, baseline, alternative="greater").pvalue
    less = stats.ttest_rel(entry, baseline, alternative="less").pvalue
    assert found.p_better == pytest.approx(greater)
    assert found.p_worse == pytest.approx(less)
    assert found.estimate.mean == pytest.approx((entry - baseline).mean())


def test_where_less_is_better_the_lead_is_turned_round() -> None:
    entry, baseline = draw(0, 9), draw(1, 9)
    lower = difference(entry, baseline, "b", higher_is_better=False)
    turned = difference(-entry, -baseline, "b", higher_is_better=True)
    assert lower == turned


def p_better(lead: np.ndarray) -> float:
    found = difference(lead, np.zeros(len(lead)), "b", higher_is_better=True).p_better
    assert found is not None
    return found


def test_equal_entries_have_no_lead_and_a_constant_lead_is_certain() -> None:
    assert p_better(np.zeros(5)) == 1.0
    assert p_better(np.full(5, 0.5)) == 0.0
    assert p_better(np.full(5, -0.5)) == 1.0


def flips(lead: np.ndarray) -> float:
    sums = [abs(np.dot(signs, lead)) for signs in itertools.product((-1, 1), repeat=len(lead))]
    return float(np.mean([s >= abs(lead.sum()) - 1e-9 for s in sums]))


@pytest.mark.parametrize("n", [3, 5, 8, 11])
def test_the_sign_flip_p_is_that_of_all_flips(n: int) -> None:
    assert flip_p(draw(n, n)) == pytest.approx(flips(draw(n, n)))


def test_tied_leads_are_counted_whole_in_the_sign_flip() -> None:
    lead = np.array([0.1, 0.1, 0.1, -0.1, 0.3])
    assert flip_p(lead) == pytest.approx(flips(lead))
    assert flip_p(np.zeros(4)) == 1.0


def test_five_units_cannot_reach_five_percent_by_sign_flips() -> None:
    assert flip_p(np.arange(1.0, 6.0)) == 2 / 2**5


def test_beyond_twenty_units_sign_flips_are_sampled_and_repeat_themselves() -> None:
    lead = draw(0, 25)
    p = flip_p(lead)
    assert p == flip_p(lead)
    two_sided = 2 * min(p_better(lead), p_better(-lead))
    assert p == pytest.approx(two_sided, abs=0.03)
    assert flip_p(np.full(25, 1.0)) == pytest.approx(1 / 10_001)


@pytest.mark.parametrize("seed", range(5))
def test_holm_equals_statsmodels(seed: int) -> None:
    rng = np.random.default_rng(seed)
    p = {f"e{i}": float(v) for i, v in enumerate(rng.random(7) ** 3)}
    p["tie"] = p["e0"]
    expected = multipletests(list(p.values()), method="holm")[1]
    assert holm(p) == pytest.approx(dict(zip(p, expected, strict=True)))


def test_holm_of_nothing_is_nothing() -> None:
    assert holm({}) == {}
