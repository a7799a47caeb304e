"""Bootstrap-t and sign flips, many columns at once, against loops and scipy."""

import numpy as np
import pytest
from scipy import stats

from leaderboard.inference._paired import (
    differences,
    smallest_sign_flip_p,
)
from leaderboard.inference._resampling import (
    N_RESAMPLES,
    Resampling,
    bootstrap_shares,
    bootstrap_t,
    flipped_t,
    is_enough,
    sign_shares,
    step_down,
    t_statistics,
)
from tests.inference._boards import difference, draw, flip_p


def leads(seed: int, n: int, columns: int = 4) -> np.ndarray:
    values: np.ndarray = np.random.default_rng(seed).normal(0.2, 1.0, (n, columns))
    return values


def test_t_statistics_are_scipys() -> None:
    values = leads(0, 9)
    assert t_statistics(values) == pytest.approx(stats.ttest_1samp(values, 0.0).statistic)


def test_t_statistics_of_ties_are_zero_and_of_equal_leads_infinite() -> None:
    values = np.stack([np.zeros(7), np.full(7, 0.1), np.full(7, -0.3)], axis=1)
    assert t_statistics(values).tolist() == [0.0, np.inf, -np.inf]


def test_shares_are_those_of_resamples_with_replacement() -> None:
    shares = bootstrap_shares(12, Resampling(n=500, seed=1))
    assert shares.shape == (500, 12)
    assert shares.sum(axis=1) == pytest.approx(1.0)
    assert (shares * 12) == pytest.approx(np.round(shares * 12))
    assert shares.mean() == pytest.approx(1 / 12)
    assert (shares == 0).mean() == pytest.approx((1 - 1 / 12) ** 12, abs=0.02)


def test_bootstrap_t_is_that_of_every_resample_by_itself() -> None:
    values, resampling = leads(1, 15), Resampling(n=700, seed=3)
    found = bootstrap_t(values, resampling)
    counts = np.round(bootstrap_shares(15, resampling) * 15).astype(int)
    for row in range(0, 700, 35):
        drawn = np.repeat(values, counts[row], axis=0)
        expected = stats.ttest_1samp(drawn, values.mean(axis=0)).statistic
        assert found[row] == pytest.approx(expected, rel=1e-3, abs=1e-4)


def test_every_pattern_of_signs_is_visited_once_and_the_first_flips_none() -> None:
    shares = sign_shares(6)
    assert shares.shape == (64, 6)
    assert len(np.unique(np.sign(shares), axis=0)) == 64
    assert (shares[0] > 0).all()
    assert sign_shares(14).shape == (N_RESAMPLES, 14)
    assert (sign_shares(14)[0] > 0).all()


def test_flipped_t_is_the_t_of_the_flipped_leads() -> None:
    values = leads(2, 7)
    found, signs = flipped_t(values), np.sign(sign_shares(7))
    for row in (0, 1, 50, 126):
        expected = stats.ttest_1samp(values * signs[row][:, None], 0.0).statistic
        assert found[row] == pytest.approx(expected, rel=1e-3, abs=1e-4)


def mean_lead(one: np.ndarray, other: np.ndarray) -> float:
    return float(np.mean(one - other))


@pytest.mark.parametrize("n", [5, 9])
def test_sign_flips_are_scipys_permutation_test(n: int) -> None:
    one, other = draw(n, n), draw(50 + n, n)
    test = stats.permutation_test(
        (one, other), mean_lead, permutation_type="samples",
        n_resamples=10**6,
    )  # fmt: skip
    assert flip_p(one - other) == pytest.approx(test.pvalue)
    sizes = np.abs(flipped_t((one - other)[:, None]))[:, 0]
    assert np.mean(sizes >= sizes[0] * (1 - 1e-5)) == pytest.approx(test.pvalue)


@pytest.mark.parametrize(("n", "least"), [(5, 0.0625), (8, 2 / 256), (21, 1 / 10_001)])
def test_the_smallest_sign_flip_p_is_that_of_leads_of_one_sign(n: int, least: float) -> None:
    assert smallest_sign_flip_p(n) == least
    assert flip_p(np.linspace(1.0, 1.1, n)) == pytest.approx(least)


def naive_step_down(t: np.ndarray, resampled: np.ndarray, n_exceeding: int) -> np.ndarray:
    """Step down over a plain list of one-sided claims (column, direction)."""
    claims = [(k, s) for k in range(len(t)) for s in (1, -1)]
    stands: set[tuple[int, int]] = set()
    while True:
        left = [c for c in claims if c not in stands]
        worst = [max(s * float(row[k]) for k, s in left) for row in resampled]
        critical = sorted(worst, reverse=True)[n_exceeding]
        new = {(k, s) for k, s in left if s * t[k] > critical * (1 + 1e-5)}
        if not new:
            found = np.zeros(len(t))
            for k, s in stands:
                found[k] = s
            return found
        stands |= new


@pytest.mark.parametrize("seed", range(6))
def test_step_down_is_that_over_a_list_of_claims(seed: int) -> None:
    values = leads(seed, 30, 6) + np.linspace(-0.9, 0.9, 6)
    resampled = bootstrap_t(values, Resampling(n=299, seed=seed))
    t = t_statistics(values)
    assert step_down(t, resampled, 14).tolist() == naive_step_down(t, resampled, 14).tolist()


def test_stepping_down_finds_what_one_step_misses() -> None:
    """Eleven leads beyond doubt leave room for a twelfth that one step would not tell."""
    values = np.column_stack([leads(0, 40, 11) + 5.0, leads(9, 40, 1)])
    t = t_statistics(values)
    resampled = bootstrap_t(values)
    worst = np.sort(np.abs(resampled).max(axis=1))[-500]
    left = np.column_stack([-resampled[:, :11], np.abs(resampled[:, 11])])
    t[11] = (worst + np.sort(left.max(axis=1))[-500]) / 2
    assert t[11] < worst
    assert step_down(t, resampled, 499).tolist() == [1] * 12


def test_bootstrap_t_differences_agree_with_students_where_units_are_normal() -> None:
    values = {"one": draw(3, 80), "other": draw(4, 80) - 0.3}
    found = differences(values, ["other"], higher_is_better=True)["one"][0]
    lead = values["one"] - values["other"]
    low, high = stats.t.interval(0.95, 79, loc=lead.mean(), scale=stats.sem(lead))
    assert found.estimate.low is not None
    assert found.estimate.high is not None
    width = high - low
    assert found.estimate.low == pytest.approx(low, abs=0.05 * width)
    assert found.estimate.high == pytest.approx(high, abs=0.05 * width)
    test = stats.ttest_rel(values["one"], values["other"], alternative="greater")
    assert found.p_better == pytest.approx(test.pvalue, abs=0.01)
    assert found.p_better is not None
    assert found.p_better + (found.p_worse or 0.0) == pytest.approx(1.0)


def test_bootstrap_t_is_wider_than_student_where_differences_are_skewed() -> None:
    lead = np.random.default_rng(5).lognormal(0.0, 1.0, 40)
    found = difference(lead, np.zeros(40), "b", higher_is_better=True).estimate
    assert found.high is not None
    assert found.high - found.mean > 1.1 * stats.t.ppf(0.975, 39) * stats.sem(lead)


@pytest.mark.parametrize("n", [8, 40])
def test_exact_ties_keep_p_above_what_the_other_units_can_reach(n: int) -> None:
    lead = np.zeros(n)
    lead[:3] = [0.5, 0.5, 0.5]
    found = difference(lead, np.zeros(n), "b", higher_is_better=True)
    assert found.p_better is not None
    assert found.p_better >= 0.5**3
    assert not is_enough(lead[:, None])[0]


@pytest.mark.parametrize("n", [5, 8, 40])
def test_rounding_errors_are_ties(n: int) -> None:
    """Two runs of one model on two machines differ in the last digit, always the same way."""
    one = draw(0, n)
    found = difference(one + 1e-11, one, "b", higher_is_better=True)
    assert (found.estimate.mean, found.p_better, found.p_worse) == (0.0, 1.0, 1.0)


def test_differences_of_many_entries_are_those_of_each_by_itself() -> None:
    values = {f"e{k}": draw(k, 35) for k in range(5)}
    together = differences(values, ["e0", "e3"], higher_is_better=False)
    assert [d.baseline for d in together["e0"]] == ["e3"]
    for name in ("e1", "e2", "e4"):
        for found in together[name]:
            pair = {name: values[name], found.baseline: values[found.baseline]}
            alone = differences(pair, [found.baseline], higher_is_better=False)[name][0]
            assert vars(found.estimate) == pytest.approx(vars(alone.estimate), rel=1e-5)
            assert found.p_better == pytest.approx(alone.p_better, abs=2e-4)
