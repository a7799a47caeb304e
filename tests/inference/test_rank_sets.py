"""Rank sets against Bonferroni over all pairs, and verdicts."""

import numpy as np
import pytest
from scipy import stats

from leaderboard.inference._paired import Difference, Estimate, verdict
from leaderboard.inference._ranks import rank_sets
from leaderboard.inference.judge import policy
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
        (6, "6 units: paired t verdicts, Bonferroni-t rank sets"),
    ],
)
def test_the_policy_says_what_a_number_of_units_allows(n: int, told: str) -> None:
    assert policy(n).startswith(told)
