"""Metrics of one regulator against scikit-learn, brute force over ties, and worked examples."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import permutations

import numpy as np
import pytest
from sklearn.metrics import average_precision_score

from leaderboard.errors import UndefinedScoreError
from leaderboard.metrics import METRICS
from leaderboard.metrics._edges import expected_auprc, expected_hits, random_auprc
from leaderboard.spec import RegulatorUnit


def unit(
    weight: Sequence[float], sign: Sequence[float], given: Sequence[bool] | None = None
) -> RegulatorUnit:
    return RegulatorUnit(
        weight=np.array(weight, dtype=float),
        is_given=np.ones(len(weight), dtype=bool) if given is None else np.array(given),
        sign=np.array(sign, dtype=float),
        degree_auprc=0.5,
    )


def value(name: str, of: RegulatorUnit) -> float:
    return METRICS[name].compute(of)


def average_precision(hit: np.ndarray) -> float:
    places = np.flatnonzero(hit) + 1
    return float(np.mean(np.arange(1, len(places) + 1) / places))


def orders(score: np.ndarray) -> list[np.ndarray]:
    """Every order of the cases that the scores allow."""
    every = (np.array(order) for order in permutations(range(len(score))))
    return [order for order in every if (np.diff(score[order]) <= 0).all()]


@pytest.mark.parametrize("seed", range(5))
def test_without_ties_auprc_is_scikit_learns_average_precision(seed: int) -> None:
    rng = np.random.default_rng(seed)
    score, hit = rng.permutation(300).astype(float), rng.random(300) < 0.1
    assert expected_auprc(score, hit) == pytest.approx(average_precision_score(hit, score))


@pytest.mark.parametrize("seed", range(8))
def test_with_ties_auprc_and_hits_are_their_means_over_every_order_of_the_ties(seed: int) -> None:
    rng = np.random.default_rng(seed)
    score, hit = rng.integers(0, 3, 7).astype(float), rng.permutation(7) < 3
    allowed = orders(score)
    assert len(allowed) > 1
    mean = np.mean([average_precision(hit[order]) for order in allowed])
    assert expected_auprc(score, hit) == pytest.approx(mean)
    top = np.mean([hit[order][: hit.sum()].sum() for order in allowed])
    assert expected_hits(score, hit) == pytest.approx(top)


def test_the_mean_of_random_orders_is_the_expectation_and_not_the_share_of_hits() -> None:
    rng = np.random.default_rng(0)
    hit = np.arange(200) < 5
    drawn = [average_precision(rng.permutation(hit)) for _ in range(4000)]
    error = np.std(drawn) / np.sqrt(len(drawn))
    assert abs(np.mean(drawn) - random_auprc(hit)) < 4 * error
    assert random_auprc(hit) - hit.mean() > 10 * error


def test_a_random_order_has_a_mean_ratio_of_one() -> None:
    rng = np.random.default_rng(1)
    sign = np.where(np.arange(150) < 10, 1.0, 0.0)
    for name in ("auprc_ratio", "early_precision"):
        drawn = [value(name, unit(list(rng.random(150)), list(sign))) for _ in range(3000)]
        error = np.std(drawn) / np.sqrt(len(drawn))
        assert abs(np.mean(drawn) - 1.0) < 4 * error
        assert error < 0.05


def test_the_exact_edges_score_one_whatever_is_said_of_their_strength() -> None:
    exact = unit([2.0, -3.0, 0.0, 0.0, 0.0], [1, -1, 0, 0, 0], [True, True, False, False, False])
    assert value("auprc", exact) == 1.0
    assert value("auprc_ratio", exact) == pytest.approx(1 / random_auprc(exact.sign != 0))
    assert value("auprc_ratio_degree", exact) == 2.0
    assert value("early_precision", exact) == 2.5
    assert value("sign_accuracy", exact) == 1.0


def test_pairs_that_were_not_given_rank_below_one_that_was_given_a_weight_of_zero() -> None:
    sign, weight = [1, 0, 0], [0.0, 0.0, 0.0]
    assert value("auprc", unit(weight, sign, [True, False, False])) == 1.0
    tied = value("auprc", unit(weight, sign, [False, False, True]))
    assert tied == pytest.approx((1 / 2 + 1 / 3) / 2)


def test_the_size_of_a_weight_ranks_and_its_sign_does_not() -> None:
    up, down = unit([3, 2, 1], [0, 1, 0]), unit([-3, 2, -1], [0, 1, 0])
    assert value("auprc", up) == value("auprc", down) == 0.5


def test_a_tie_at_the_end_of_the_top_counts_its_share() -> None:
    # Two targets: the first place is a hit, the second is one of three equal ones with one hit.
    tied = unit([9, 1, 1, 1, 0], [1, 1, 0, 0, 0])
    assert value("early_precision", tied) == pytest.approx((1 + 1 / 3) / 2 / (2 / 5))


def test_the_sign_counts_over_true_edges_that_were_found_only() -> None:
    found = unit([1, -1, -1, 0, 5, -2], [1, 1, -1, -1, 0, 0])
    assert value("sign_accuracy", found) == pytest.approx(2 / 3)
    with pytest.raises(UndefinedScoreError, match="no true target was given"):
        value("sign_accuracy", unit([0, 0, 1], [1, -1, 0]))


def test_where_every_candidate_is_a_target_nothing_is_measured() -> None:
    with pytest.raises(UndefinedScoreError, match="candidates that are no targets"):
        value("auprc_ratio", unit([1, 2], [1, -1]))


def test_a_board_without_a_null_has_no_ratio_to_it() -> None:
    with pytest.raises(UndefinedScoreError, match="froze no degree-matched null"):
        value("auprc_ratio_degree", replace(unit([1, 2], [1, 0]), degree_auprc=0.0))
