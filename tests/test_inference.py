"""Intervals, verdicts and rank sets against scipy, statsmodels and brute force."""

import itertools
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from statsmodels.stats.multitest import multipletests  # type: ignore[import-untyped]

from leaderboard.inference._paired import (
    Difference,
    Estimate,
    difference,
    estimate,
    holm,
    one_sided_p,
    rank_sets,
    sign_flip_p,
    verdict,
)
from leaderboard.inference.standings import (
    BoardEvidence,
    EntryFacts,
    build_standings,
    policy,
)
from leaderboard.io import SCORE_COLUMNS, write_json
from leaderboard.spec import Board


def draw(seed: int, n: int) -> np.ndarray:
    values: np.ndarray = np.random.default_rng(seed).normal(0.3, 1.0, n)
    return values


# Estimates and tests


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


def test_equal_entries_have_no_lead_and_a_constant_lead_is_certain() -> None:
    assert one_sided_p(np.zeros(5)) == 1.0
    assert one_sided_p(np.full(5, 0.5)) == 0.0
    assert one_sided_p(np.full(5, -0.5)) == 1.0


def flips(lead: np.ndarray) -> float:
    sums = [abs(np.dot(signs, lead)) for signs in itertools.product((-1, 1), repeat=len(lead))]
    return float(np.mean([s >= abs(lead.sum()) - 1e-9 for s in sums]))


@pytest.mark.parametrize("n", [3, 5, 8, 11])
def test_the_sign_flip_p_is_that_of_all_flips(n: int) -> None:
    assert sign_flip_p(draw(n, n)) == pytest.approx(flips(draw(n, n)))


def test_tied_leads_are_counted_whole_in_the_sign_flip() -> None:
    lead = np.array([0.1, 0.1, 0.1, -0.1, 0.3])
    assert sign_flip_p(lead) == pytest.approx(flips(lead))
    assert sign_flip_p(np.zeros(4)) == 1.0


def test_five_units_cannot_reach_five_percent_by_sign_flips() -> None:
    assert sign_flip_p(np.arange(1.0, 6.0)) == 2 / 2**5


def test_beyond_twenty_units_sign_flips_are_sampled_and_repeat_themselves() -> None:
    lead = draw(0, 25)
    p = sign_flip_p(lead)
    assert p == sign_flip_p(lead)
    two_sided = 2 * min(one_sided_p(lead), one_sided_p(-lead))
    assert p == pytest.approx(two_sided, abs=0.03)
    assert sign_flip_p(np.full(25, 1.0)) == pytest.approx(1 / 10_001)


@pytest.mark.parametrize("seed", range(5))
def test_holm_equals_statsmodels(seed: int) -> None:
    rng = np.random.default_rng(seed)
    p = {f"e{i}": float(v) for i, v in enumerate(rng.random(7) ** 3)}
    p["tie"] = p["e0"]
    expected = multipletests(list(p.values()), method="holm")[1]
    assert holm(p) == pytest.approx(dict(zip(p, expected, strict=True)))


def test_holm_of_nothing_is_nothing() -> None:
    assert holm({}) == {}


# Rank sets


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


# Standings of a whole board

GROUPED = Board(dataset="tiny", task="cell_type_annotation", split="donor", unit="donor_id")
RANDOM = Board(
    dataset="tiny", task="cell_type_annotation", split="random", unit="donor_id", matches="donor"
)
SCREEN = Board(
    dataset="tiny", task="perturbation_prediction", split="perturbation", unit="perturbation",
    context="cell_type",
)  # fmt: skip
BASELINES = ("majority", "logistic-regression", "nearest-centroid")
Values = Mapping[str, Any]
"""Entry to the values of its units; None is undefined, text is the reason of a failure."""


def score_rows(
    board: Board, metric: str, values: Values, seeds: tuple[int, ...] = (0,), n: int = 8
) -> pd.DataFrame:
    rows = []
    for entry, row in values.items():
        units = [row] * n if isinstance(row, str) else list(row)
        for (unit, value), seed in itertools.product(enumerate(units), seeds):
            status = "undefined" if value is None else "ok"
            reason = "" if value is not None else "too few cells"
            number = value
            if isinstance(value, str):
                status, reason, number = "failed", value, None
            rows.append(
                (entry, board.id, unit, seed, metric, f"u{unit}", "all", number, 9, status, reason)
            )
    table = pd.DataFrame(rows, columns=SCORE_COLUMNS)
    return table.assign(value=table["value"].astype(float))


def constants(**changes: Any) -> dict[str, Any]:
    return {
        "floor": 0.2, "ceiling": 1.0, "ceiling_low": 1.0, "ceiling_high": 1.0,
        "ceiling_kind": "true labels", "trusted": True, "reason": "", **changes,
    }  # fmt: skip


def facts_of(names: Any, **kinds: str) -> dict[str, EntryFacts]:
    def kind(name: str) -> str:
        return kinds.get(name.replace("-", "_"), "baseline" if name in BASELINES else "model")

    return {
        name: EntryFacts(
            name=name.title(), kind=kind(name), tier="default", verification="reproduced",
            weights="none",
        )
        for name in names
    }  # fmt: skip


def evidence(values: Values, board: Board = GROUPED, **changes: Any) -> BoardEvidence:
    kinds = {k: changes.pop(k) for k in list(changes) if k in {"shuffled", "oracle"}}
    frozen = {"metrics": {"macro_f1": constants(**changes.pop("frozen", {}))}}
    return BoardEvidence(
        board=board,
        suite="known_truth",
        release="test",
        source="recomputed",
        scores=score_rows(board, "macro_f1", values, changes.pop("seeds", (0,))),
        constants=frozen | changes.pop("constants", {}),
        entries=facts_of(values, **kinds),
        **changes,
    )


def around(mean: float, seed: int, n: int = 8, sd: float = 0.01) -> list[float]:
    return [mean + sd * float(v) for v in np.random.default_rng(seed).normal(size=n)]


def usual(n: int = 8) -> dict[str, list[float]]:
    """Three baselines, a model above them all, one below the best, one level with it."""
    return {
        "majority": around(0.3, 1, n),
        "logistic-regression": around(0.7, 2, n),
        "nearest-centroid": around(0.6, 3, n),
        "above": around(0.8, 4, n),
        "below": around(0.5, 5, n),
        "level": around(0.7, 6, n, sd=0.02),
    }


def rows_of(standings: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {row["entry"]: row for row in standings["rows"]}


def cells_of(standings: dict[str, Any], metric: str = "macro_f1") -> dict[str, dict[str, Any]]:
    return {entry: row["metrics"][metric] for entry, row in rows_of(standings).items()}


def test_a_board_says_yes_no_and_cannot_tell_of_models_and_judges_no_baseline() -> None:
    cells = cells_of(build_standings(evidence(usual()), None))
    assert {name: cell["verdict"] for name, cell in cells.items()} == {
        "above": "yes", "below": "no", "level": "cannot tell",
        **dict.fromkeys(BASELINES, "not judged"),
    }  # fmt: skip


def test_a_yes_needs_a_lead_over_every_declared_baseline() -> None:
    values = usual() | {"nearest-centroid": around(0.9, 3)}
    cells = cells_of(build_standings(evidence(values), None))
    assert cells["above"]["verdict"] == "no"


def test_verdicts_are_corrected_over_the_judged_entries() -> None:
    """A lead that stands alone at 5 % does not stand among nine others without one."""
    base = around(0.5, 1)
    lead_alone = [v + 0.025 + d for v, d in zip(base, around(0.0, 2, sd=0.025), strict=True)]
    p = stats.ttest_rel(lead_alone, base, alternative="greater").pvalue
    assert 0.005 < p < 0.05
    values: dict[str, Any] = {"majority": base, "model": lead_alone}
    assert cells_of(build_standings(evidence(values), None))["model"]["verdict"] == "yes"
    values |= {f"other{i}": around(0.5, 10 + i, sd=0.05) for i in range(9)}
    crowded = cells_of(build_standings(evidence(values), None))
    assert crowded["model"]["verdict"] == "cannot tell"


def test_rows_are_sorted_best_first_and_carry_their_numbers() -> None:
    values = usual()
    standings = build_standings(evidence(values), None)
    assert standings["ranked"] is True
    assert standings["reasons"] == []
    assert standings["sorted_by"] == "macro_f1"
    means = {name: float(np.mean(row)) for name, row in values.items()}
    assert [r["entry"] for r in standings["rows"]] == sorted(means, key=lambda n: -means[n])
    for name, cell in cells_of(standings).items():
        expected = estimate(np.array(values[name]))
        assert cell["value"] == pytest.approx(means[name])
        assert (cell["low"], cell["high"]) == pytest.approx((expected.low, expected.high))
        assert cell["scaled"] == pytest.approx((means[name] - 0.2) / 0.8)
        assert (cell["n"], cell["coverage"]) == (8, 1.0)
        assert cell["units"] == pytest.approx({f"u{i}": v for i, v in enumerate(values[name])})


def test_differences_are_paired_with_every_other_declared_baseline() -> None:
    values = usual()
    cells = cells_of(build_standings(evidence(values), None))
    found = {d["baseline"]: d for d in cells["above"]["differences"]}
    assert set(found) == set(BASELINES)
    for name, d in found.items():
        test = stats.ttest_rel(values["above"], values[name], alternative="greater")
        assert d["p_better"] == pytest.approx(test.pvalue)
        assert d["mean"] == pytest.approx(np.mean(values["above"]) - np.mean(values[name]))
    assert {d["baseline"] for d in cells["majority"]["differences"]} == set(BASELINES) - {
        "majority"
    }


def test_the_board_ranks_baselines_and_models_together() -> None:
    values = usual()
    cells = cells_of(build_standings(evidence(values), None))
    expected = rank_sets({k: np.array(v) for k, v in values.items()}, higher_is_better=True)
    assert {n: (c["rank_low"], c["rank_high"]) for n, c in cells.items()} == expected
    assert expected["above"] == (1, 1)


def test_controls_have_a_value_but_no_rank_no_verdict_and_no_place_in_the_family() -> None:
    without = cells_of(build_standings(evidence(usual()), None))
    values = usual() | {"oracle": around(1.0, 8), "shuffled": around(0.2, 9)}
    item = evidence(values, oracle="control", shuffled="control")
    cells = cells_of(build_standings(item, None))
    for name in ("oracle", "shuffled"):
        assert cells[name]["value"] == pytest.approx(np.mean(values[name]))
        assert (cells[name]["rank_low"], cells[name]["verdict"]) == (None, "not judged")
    for name in usual():
        assert cells[name]["rank_high"] == without[name]["rank_high"]


@pytest.mark.parametrize("n", [1, 2])
def test_with_fewer_than_three_units_there_are_points_only(n: int) -> None:
    standings = build_standings(evidence(usual(n)), None)
    assert standings["policy"] == f"points only, no interval: {n} unit(s)"
    for cell in cells_of(standings).values():
        assert cell["value"] is not None
        assert (cell["low"], cell["high"]) == (None, None)
        assert (cell["rank_low"], cell["rank_high"]) == (None, None)
        assert cell["verdict"] == "not judged"
        assert all(d["p_better"] is None for d in cell["differences"])


@pytest.mark.parametrize(
    ("others", "expected"),
    [({"good": 0.9}, 0.2), ({"good": 0.9, "bad": 0.1}, 0.1)],
    ids=["the floor", "the lowest complete entry"],
)
def test_a_failed_entry_gets_the_worse_of_floor_and_lowest_complete_entry(
    others: dict[str, float], expected: float
) -> None:
    values: dict[str, Any] = {name: [value] * 8 for name, value in others.items()}
    standings = build_standings(evidence(values | {"crashed": "ValueError: no"}), None)
    row = rows_of(standings)["crashed"]
    assert (row["status"], row["reason"]) == ("failed", "ValueError: no")
    cell = row["metrics"]["macro_f1"]
    assert list(cell["units"].values()) == [expected] * 8
    assert (cell["rank_low"], cell["rank_high"], cell["verdict"]) == (None, None, "not judged")
    assert standings["rows"][-1]["entry"] == "crashed"


def test_where_less_is_better_a_failed_entry_gets_the_higher_value() -> None:
    rows = score_rows(SCREEN, "nwmse", {"good": [-1.0] * 8, "bad": [0.5] * 8, "crashed": "x"})
    frozen = constants(floor=0.0, ceiling=-3.0, ceiling_low=-3.1, ceiling_high=-2.9)
    item = BoardEvidence(
        board=SCREEN, suite="known_truth", release="test", source="recomputed", scores=rows,
        constants={"metrics": {"nwmse": frozen}, "responders": [f"u{i}" for i in range(8)]},
        entries=facts_of(["good", "bad", "crashed"]),
    )  # fmt: skip
    cells = cells_of(build_standings(item, None), "nwmse")
    assert cells["crashed"]["value"] == pytest.approx(0.5)
    assert cells["good"]["scaled"] == pytest.approx(1 / 3)
    assert cells["bad"]["scaled"] == pytest.approx(-1 / 6)


def test_a_failed_entry_is_not_said_to_have_not_run_when_all_others_failed_too() -> None:
    standings = build_standings(evidence({"a": "ValueError: no", "b": "ValueError: no"}), None)
    for row in standings["rows"]:
        assert row["status"] == "failed"
        assert row["metrics"]["macro_f1"]["reason"] != "not run"


def test_a_failed_baseline_is_no_baseline_to_beat() -> None:
    values: dict[str, Any] = usual() | {"logistic-regression": "ValueError: no"}
    cells = cells_of(build_standings(evidence(values), None))
    assert {d["baseline"] for d in cells["level"]["differences"]} == set(BASELINES) - {
        "logistic-regression"
    }
    assert cells["level"]["verdict"] == "yes"


def test_undefined_is_blank_and_not_zero() -> None:
    values: dict[str, Any] = usual()
    values["above"] = [None, *values["above"][1:]]
    cells = cells_of(build_standings(evidence(values), None))
    cell = cells["above"]
    assert cell["value"] == pytest.approx(np.mean(values["above"][1:]))
    assert cell["coverage"] == pytest.approx(7 / 8)
    assert cell["reason"] == "too few cells"
    assert "u0" not in cell["units"]
    assert (cell["rank_low"], cell["verdict"]) == (None, "not judged")


def test_an_entry_undefined_everywhere_has_no_value_but_a_reason() -> None:
    values: dict[str, Any] = usual() | {"silent": [None] * 8}
    standings = build_standings(evidence(values), None)
    cell = cells_of(standings)["silent"]
    assert (cell["value"], cell["coverage"], cell["reason"]) == (None, 0.0, "too few cells")
    assert standings["rows"][-1]["entry"] == "silent"


def test_seeds_are_averaged_inside_units_and_their_sd_is_kept_apart() -> None:
    item = evidence({"majority": around(0.3, 1), "model": around(0.8, 4)}, seeds=(0, 1))
    scores = item.scores.copy()
    second = scores["seed"] == 1
    scores.loc[second, "value"] += 0.1
    moved = BoardEvidence(**{**vars(item), "scores": scores})
    cells = cells_of(build_standings(moved, None))
    assert cells["model"]["value"] == pytest.approx(np.mean(around(0.8, 4)) + 0.05)
    assert cells["model"]["n"] == 8
    assert cells["model"]["seed_sd"] == pytest.approx(0.1 / np.sqrt(2))
    one_seed = cells_of(build_standings(evidence(usual()), None))
    assert one_seed["above"]["seed_sd"] is None


def screen_evidence(responders: list[str], **changes: Any) -> BoardEvidence:
    rows = score_rows(SCREEN, "pds", {"control-mean": [0.5] * 8, "model": around(0.8, 1)}, (0, 1))
    frozen = constants(floor=0.5, ceiling=0.95, ceiling_low=0.9, ceiling_high=0.99, **changes)
    return BoardEvidence(
        board=SCREEN, suite="known_truth", release="test", source="recomputed", scores=rows,
        constants={"metrics": {"pds": frozen}, "responders": responders},
        entries=facts_of(["control-mean", "model"], control_mean="baseline"),
    )  # fmt: skip


def test_only_responders_rank() -> None:
    responders = ["u1", "u4", "u6"]
    standings = build_standings(screen_evidence(responders), None)
    cell = cells_of(standings, "pds")["model"]
    values = around(0.8, 1)
    assert set(cell["units"]) == set(responders)
    assert cell["value"] == pytest.approx(np.mean([values[1], values[4], values[6]]))
    assert standings["metrics"]["pds"]["units"] == responders


def test_the_sd_over_seeds_is_of_the_units_that_rank() -> None:
    item = screen_evidence(["u1", "u4", "u6"])
    scores = item.scores.copy()
    noisy = (scores["seed"] == 1) & (scores["unit"] == "u0")
    scores.loc[noisy, "value"] += 10.0
    moved = BoardEvidence(**{**vars(item), "scores": scores})
    assert cells_of(build_standings(moved, None), "pds")["model"]["seed_sd"] == pytest.approx(0.0)


# What ranks nothing


def assert_ranks_nothing(standings: dict[str, Any], reason: str) -> None:
    assert standings["ranked"] is False
    assert any(reason in r for r in standings["reasons"]), standings["reasons"]
    for cell in cells_of(standings).values():
        assert (cell["rank_low"], cell["rank_high"]) == (None, None)
        assert cell["verdict"] == "not judged"
        assert cell["value"] is not None


def test_an_untrusted_metric_ranks_nothing_and_says_why() -> None:
    item = evidence(usual(), frozen={"trusted": False, "reason": "a replicate loses"})
    standings = build_standings(item, None)
    assert_ranks_nothing(standings, "Macro F1: a replicate loses")
    assert standings["metrics"]["macro_f1"]["ranks"] is False


def test_a_baseline_at_the_ceiling_saturates_the_board() -> None:
    values = usual() | {"nearest-centroid": [1.0] * 8}
    standings = build_standings(evidence(values), None)
    assert_ranks_nothing(standings, "saturated: nearest-centroid")
    assert standings["metrics"]["macro_f1"]["saturated"] is True


def test_a_model_at_the_ceiling_does_not_saturate_the_board() -> None:
    standings = build_standings(evidence(usual() | {"above": [1.0] * 8}), None)
    assert standings["ranked"] is True


def test_a_random_board_ranks_nothing() -> None:
    standings = build_standings(evidence(usual(), board=RANDOM), None)
    assert_ranks_nothing(standings, "cells, not groups, were held out")


def test_a_board_on_which_the_audit_found_an_error_ranks_nothing() -> None:
    finding = {"check": "groups", "severity": "error", "board": GROUPED.id}
    standings = build_standings(evidence(usual(), findings=[finding]), None)
    assert_ranks_nothing(standings, "the audit found errors: groups")
    assert standings["findings"] == [finding]


def test_a_warning_of_the_audit_is_shown_and_unranks_nothing() -> None:
    findings = [
        {"check": "roles", "severity": "ok"},
        {"check": "library", "severity": "warning"},
    ]
    standings = build_standings(evidence(usual(), findings=findings), None)
    assert standings["ranked"] is True
    assert standings["findings"] == [findings[1]]
    assert standings["n_checks"] == 2


def test_a_metric_that_is_not_ranked_is_shown_without_ranks() -> None:
    item = evidence(usual())
    both = pd.concat([item.scores, score_rows(GROUPED, "accuracy", usual())])
    frozen = {"metrics": {**item.constants["metrics"], "accuracy": constants()}}
    item = BoardEvidence(**{**vars(item), "scores": both, "constants": frozen})
    standings = build_standings(item, None)
    assert list(standings["metrics"]) == ["macro_f1", "accuracy"]
    assert standings["metrics"]["accuracy"]["reason"] == "shown, not ranked"
    for cell in cells_of(standings, "accuracy").values():
        assert cell["rank_low"] is None
        assert cell["verdict"] == "not judged"


def test_a_metric_whose_ceiling_is_not_above_the_floor_has_no_scaled_value() -> None:
    item = evidence(usual(), frozen={"ceiling": 0.2, "ceiling_low": 2.0, "ceiling_high": 2.0})
    assert all(c["scaled"] is None for c in cells_of(build_standings(item, None)).values())


def test_a_scaled_value_is_never_clipped() -> None:
    values = usual() | {"poor": [0.1] * 8, "model": [1.2] * 8}
    cells = cells_of(build_standings(evidence(values), None))
    assert cells["poor"]["scaled"] == pytest.approx(-0.125)
    assert cells["model"]["scaled"] == pytest.approx(1.25)


def test_a_self_reported_entry_has_no_rank_and_no_verdict() -> None:
    item = evidence(usual())
    entries = dict(item.entries)
    own = vars(entries["above"]) | {"verification": "self-reported"}
    entries["above"] = EntryFacts(**own)
    cells = cells_of(build_standings(BoardEvidence(**{**vars(item), "entries": entries}), None))
    assert (cells["above"]["rank_low"], cells["above"]["verdict"]) == (None, "not judged")
    assert (cells["level"]["rank_low"], cells["level"]["rank_high"]) == (1, 2)


def test_inflation_is_random_minus_grouped_paired_by_unit() -> None:
    grouped = usual()
    dealt = {name: [v + 0.1 + 0.01 * i for i, v in enumerate(row)] for name, row in grouped.items()}
    del dealt["below"]
    standings = build_standings(evidence(grouped), evidence(dealt, board=RANDOM))
    cells = cells_of(standings)
    gap = 0.1 + 0.01 * np.arange(8)
    expected = estimate(gap)
    assert cells["above"]["inflation"] == pytest.approx(
        {"mean": expected.mean, "low": expected.low, "high": expected.high, "n": 8}
    )
    assert "inflation" not in cells["below"]


def test_a_board_with_one_entry_has_a_standing() -> None:
    standings = build_standings(evidence({"model": around(0.8, 4)}), None)
    cell = cells_of(standings)["model"]
    assert (cell["rank_low"], cell["rank_high"], cell["verdict"]) == (1, 1, "not judged")


def test_standings_are_plain_values_that_can_be_written(tmp_path: Any) -> None:
    values: dict[str, Any] = usual() | {"crashed": "ValueError: no", "silent": [None] * 8}
    item = evidence(values)
    write_json(tmp_path / "s.json", build_standings(item, evidence(usual(), board=RANDOM)))
    assert (tmp_path / "s.json").stat().st_size > 0


def test_the_order_of_score_rows_does_not_move_a_standing() -> None:
    item = evidence(usual())
    shuffled = item.scores.sample(frac=1, random_state=0)
    other = BoardEvidence(**{**vars(item), "scores": shuffled})
    assert build_standings(other, None) == build_standings(item, None)
