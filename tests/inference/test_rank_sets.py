"""Rank sets against Bonferroni over all pairs, and verdicts."""

import itertools
from typing import Any

import numpy as np
import pytest
from scipy import stats

from leaderboard.inference._paired import Difference, Estimate, differences, verdict
from leaderboard.inference._ranks import Method, method_of, rank_sets
from leaderboard.inference._resampling import Resampling, bootstrap_shares
from leaderboard.inference.judge import policy, statistics_of
from tests.inference._boards import difference, draw


def spread(**means: float) -> dict[str, np.ndarray]:
    """Units of small independent noise around the means."""
    return {name: mean + 0.01 * draw(k, 8) for k, (name, mean) in enumerate(means.items())}


def test_entries_that_are_clearly_apart_get_one_rank_each() -> None:
    values = spread(best=3.0, middle=2.0, worst=1.0)
    assert rank_sets(values, higher_is_better=True) == {
        "best": (1, 1), "middle": (2, 2), "worst": (3, 3),
    }  # fmt: skip
    assert rank_sets(values, higher_is_better=False) == {
        "best": (3, 3), "middle": (2, 2), "worst": (1, 1),
    }  # fmt: skip


def test_entries_that_are_tied_share_all_ranks() -> None:
    same = draw(0, 8)
    assert rank_sets({"a": same, "b": same, "c": same}, higher_is_better=True) == {
        "a": (1, 3), "b": (1, 3), "c": (1, 3),
    }  # fmt: skip


def test_two_tied_at_the_top_are_not_separated_and_the_third_is_last() -> None:
    found = rank_sets(spread(a=2.0, b=2.001, c=1.0), higher_is_better=True)
    assert found == {"a": (1, 2), "b": (1, 2), "c": (3, 3)}


def test_one_entry_is_first_and_none_are_none() -> None:
    assert rank_sets({"a": draw(0, 8)}, higher_is_better=True) == {"a": (1, 1)}
    assert rank_sets({}, higher_is_better=True) == {}


def test_the_order_of_entries_does_not_move_a_rank_set() -> None:
    values = spread(a=2.0, b=2.01, c=1.0, d=1.99)
    turned = dict(reversed(list(values.items())))
    assert rank_sets(turned, higher_is_better=True) == rank_sets(values, higher_is_better=True)


@pytest.mark.parametrize("seed", range(5))
def test_rank_sets_follow_from_bonferroni_paired_t_over_all_pairs(seed: int) -> None:
    rng = np.random.default_rng(seed)
    values = {f"e{i}": rng.normal(0.4 * i, 1.0, 10) for i in range(5)}
    n_pairs = 10
    expected = {}
    for one, row in values.items():
        better = worse = 0
        for other in values.keys() - {one}:
            test = stats.ttest_rel(values[other], row)
            if test.pvalue < 0.05 / n_pairs:
                better += int(test.statistic > 0)
                worse += int(test.statistic < 0)
        expected[one] = (1 + better, len(values) - worse)
    assert rank_sets(values, higher_is_better=True) == expected


def test_joint_rank_sets_hold_the_true_ranks_at_least_as_often_as_they_say() -> None:
    """Four entries, two of them equal: 300 boards, within two Monte-Carlo standard errors."""
    rng = np.random.default_rng(0)
    true = {"a": (1, 1), "b": (2, 3), "c": (2, 3), "d": (4, 4)}
    shift = {"a": 1.0, "b": 0.5, "c": 0.5, "d": 0.0}
    n, held = 300, 0
    for _ in range(n):
        donor = rng.normal(size=8)
        values = {k: donor + v + rng.normal(scale=0.5, size=8) for k, v in shift.items()}
        found = rank_sets(values, higher_is_better=True)
        held += all(found[k][0] <= true[k][0] and found[k][1] >= true[k][1] for k in true)
    assert held / n >= 0.95 - 2 * np.sqrt(0.05 * 0.95 / n)


def test_paired_differences_cover_at_least_as_often_as_they_say() -> None:
    rng = np.random.default_rng(1)
    n, held = 1000, 0
    for _ in range(n):
        donor = rng.normal(size=6)
        entry, baseline = donor + 0.3 + rng.normal(size=6), donor + rng.normal(size=6)
        found = difference(entry, baseline, "b", higher_is_better=True).estimate
        assert found.low is not None
        assert found.high is not None
        held += found.low <= 0.3 <= found.high
    assert held / n >= 0.93


# Thirty units and more: max-T with step-down


def many(seed: int, n: int = 40, **means: float) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    level = rng.normal(size=n)
    return {name: level + mean + rng.normal(scale=0.5, size=n) for name, mean in means.items()}


def naive_max_t(values: dict[str, np.ndarray], resampling: Resampling) -> dict[str, Any]:
    """One resample and one pair after the other, stepping down over one-sided claims."""
    n = len(next(iter(values.values())))
    pairs = list(itertools.permutations(sorted(values), 2))
    counts = np.round(bootstrap_shares(n, resampling) * n).astype(int)
    lead = {(a, b): values[a] - values[b] for a, b in pairs}
    t = {pair: stats.ttest_1samp(d, 0.0).statistic for pair, d in lead.items()}
    resampled = [
        {p: stats.ttest_1samp(np.repeat(d, c), d.mean()).statistic for p, d in lead.items()}
        for c in counts
    ]
    sure: set[tuple[str, str]] = set()
    while True:
        worst = sorted(max(r[p] for p in pairs if p not in sure) for r in resampled)
        critical = worst[-int(0.05 * (resampling.n + 1))]
        new = {p for p in pairs if t[p] > critical} - sure
        if not new:
            break
        sure |= new
    return {
        name: (1 + sum(b == name for _, b in sure), len(values) - sum(a == name for a, _ in sure))
        for name in values
    }


@pytest.mark.parametrize("seed", range(3))
def test_rank_sets_of_many_units_are_those_of_a_plain_loop(seed: int) -> None:
    values, resampling = many(seed, 30, a=0.0, b=0.1, c=0.5, d=1.0), Resampling(n=99, seed=seed)
    found = rank_sets(values, higher_is_better=True, resampling=resampling)
    assert found == naive_max_t(values, resampling)
    assert found["d"] == (1, 1)


@pytest.mark.parametrize(("n", "method"), [(29, "bonferroni-t"), (30, "bootstrap max-T")])
def test_from_thirty_units_on_max_t_is_taken(n: int, method: Method) -> None:
    values = many(2, n, **{f"e{k}": 0.15 * k for k in range(8)})
    found = rank_sets(values, higher_is_better=True)
    other: Method = "bonferroni-t" if method == "bootstrap max-T" else "bootstrap max-T"
    assert method_of(n) == method
    assert found == rank_sets(values, higher_is_better=True, method=method)
    assert found != rank_sets(values, higher_is_better=True, method=other)


METHODS: tuple[Method, ...] = ("bonferroni-t", "bootstrap max-T", "sign-flip max-T")


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("n", [8, 40])
def test_the_names_of_entries_and_the_order_of_units_move_no_rank_set(
    method: Method, n: int
) -> None:
    values = many(2, n, a=0.0, b=0.05, c=1.5, d=3.0)
    found = rank_sets(values, higher_is_better=True, method=method)
    renamed = {{"a": "z", "b": "y", "c": "x", "d": "w"}[k]: v for k, v in values.items()}
    again = rank_sets(renamed, higher_is_better=True, method=method)
    assert list(again.values()) == list(found.values())[::-1]
    order = np.random.default_rng(0).permutation(n)
    moved = {name: row[order] for name, row in values.items()}
    assert rank_sets(moved, higher_is_better=True, method=method) == found


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("n", [8, 40])
def test_identical_entries_are_never_told_apart(method: Method, n: int) -> None:
    values = many(3, n, a=0.0, c=5.0)
    values |= {"b": values["a"].copy(), "d": values["c"] * (1 + 1e-12)}
    found = rank_sets(values, higher_is_better=True, method=method)
    assert found == {"a": (3, 4), "b": (3, 4), "c": (1, 2), "d": (1, 2)}


@pytest.mark.parametrize("method", METHODS)
def test_an_equal_lead_in_every_unit_is_certain(method: Method) -> None:
    values = many(4, 40, a=0.0)
    values["b"] = values["a"] + 0.5
    assert rank_sets(values, higher_is_better=True, method=method) == {"a": (2, 2), "b": (1, 1)}


@pytest.mark.parametrize("method", METHODS)
def test_a_copy_that_differs_in_five_units_is_not_told_apart_and_spoils_no_other(
    method: Method,
) -> None:
    values = many(5, 40, a=0.0, b=0.6, c=1.2)
    copy = values["c"].copy()
    copy[:5] += 0.3
    found = rank_sets(values | {"copy": copy}, higher_is_better=True, method=method)
    assert found == {"a": (4, 4), "b": (3, 3), "c": (1, 2), "copy": (1, 2)}


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("n", [8, 40])
def test_an_entry_with_absurd_scores_makes_no_ties_of_others(method: Method, n: int) -> None:
    values = many(7, n, a=0.0, b=3.0)
    values["absurd"] = -1e12 * np.abs(draw(0, n))
    found = rank_sets(values, higher_is_better=True, method=method)
    assert (found["a"][0], found["b"]) == (2, (1, 1))
    leads = differences(values, ["a"], higher_is_better=True)
    assert leads["b"][0].p_better is not None
    assert leads["b"][0].p_better < 0.01


def test_six_units_cannot_reach_five_percent_over_many_pairs_by_sign_flips() -> None:
    values = {f"e{k}": row for k, row in enumerate(draw(0, 24).reshape(4, 6))}
    assert set(rank_sets(values, higher_is_better=True, method="sign-flip max-T").values()) == {
        (1, 4)
    }


def test_sign_flip_rank_sets_hold_their_level_exactly_for_symmetric_units() -> None:
    """All entries equal: sets that leave a rank out are wrong, in 5 % of boards at most."""
    rng = np.random.default_rng(6)
    n, wrong = 400, 0
    for _ in range(n):
        values = {f"e{k}": rng.standard_t(2, 10) for k in range(4)}
        found = rank_sets(values, higher_is_better=True, method="sign-flip max-T")
        wrong += set(found.values()) != {(1, 4)}
    assert wrong / n <= 0.05 + 2 * np.sqrt(0.05 * 0.95 / n)


# Verdicts


def lead(mean: float, p_better: float, p_worse: float) -> Difference:
    return Difference(
        baseline="b",
        estimate=Estimate(mean=mean, low=mean, high=mean, n=8),
        p_better=p_better,
        p_worse=p_worse,
        p_sign_flip=None,
    )


def test_a_verdict_is_yes_no_or_cannot_tell() -> None:
    ahead, behind, unsure = lead(1, 0.001, 0.999), lead(-1, 0.999, 0.001), lead(0.1, 0.4, 0.6)
    assert verdict([ahead, ahead], 0.001) == "yes"
    assert verdict([ahead, unsure], 0.4) == "cannot tell"
    assert verdict([ahead, behind], 0.999) == "no"
    assert verdict([unsure], 0.4) == "cannot tell"


def test_a_no_is_corrected_for_the_number_of_baselines() -> None:
    behind = lead(-1, 0.97, 0.03)
    assert verdict([behind], 0.97) == "no"
    assert verdict([behind, lead(0.1, 0.4, 0.6)], 0.97) == "cannot tell"


def test_without_baselines_or_a_p_value_nothing_is_judged() -> None:
    assert verdict([], 0.01) == "not judged"
    assert verdict([lead(1, 0.001, 0.999)], None) == "not judged"


@pytest.mark.parametrize(
    ("n", "told"),
    [
        (0, "points only, no interval: 0 unit"),
        (2, "points only, no interval: 2 unit"),
        (3, "3 units: t intervals, 2 degrees of freedom"),
        (5, "5 units: t intervals, 4 degrees"),
        (6, "6 units: paired t verdicts, Bonferroni-t rank sets, sign-flip max-T as their check"),
        (29, "29 units: paired t verdicts, Bonferroni-t rank sets"),
        (30, "30 units: bootstrap-t verdicts and max-T rank sets with Romano-Wolf step-down"),
    ],
)
def test_the_policy_says_what_a_number_of_units_allows(n: int, told: str) -> None:
    assert policy(n).startswith(told)


@pytest.mark.parametrize(
    ("n", "test", "ranks", "check", "least"),
    [
        (2, "none", "none", "none", None),
        (5, "paired t", "bonferroni-t", "none", 0.0625),
        (6, "paired t", "bonferroni-t", "sign-flip max-T", 0.03125),
        (30, "bootstrap-t", "bootstrap max-T", "sign-flip max-T", 1 / 10_001),
    ],
)
def test_standings_say_by_what_they_were_made(
    n: int, test: str, ranks: str, check: str, least: float | None
) -> None:
    found = statistics_of(n)
    assert (found["units"], found["test"], found["rank_sets"], found["check"]) == (
        n, test, ranks, check,
    )  # fmt: skip
    assert found["smallest_sign_flip_p"] == least
    assert found["value_interval"].startswith("descriptive")
    assert found["difference_interval"].startswith("inferential, given these folds")
