"""An adversary that beats the best simple baseline takes the rank of the metric with it."""

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from leaderboard.inference.adversaries import duel, lost_to
from leaderboard.inference.evidence import BoardEvidence, EntryFacts
from leaderboard.inference.standings import build_standings
from tests.inference._boards import RANDOM, around, cells_of, evidence, score_rows, usual


def table(**rows: list[float]) -> pd.DataFrame:
    return pd.DataFrame(rows).T.rename(columns=lambda k: f"u{k}")


def test_an_adversary_is_set_against_the_baseline_with_the_best_mean() -> None:
    found = duel(
        table(gamer=[0.6, 0.8], good=[0.9, 0.6], poor=[0.1, 0.2], model=[1.0, 1.0]),
        ["gamer"],
        ["good", "poor"],
        higher_is_better=True,
    )
    assert found == [
        {
            "adversary": "gamer", "value": pytest.approx(0.7), "baseline": "good",
            "baseline_value": pytest.approx(0.75), "n": 2, "beats": False,
        }
    ]  # fmt: skip
    assert lost_to(found) == ""


def test_where_less_is_better_less_wins() -> None:
    values = table(gamer=[-2.0, -2.0], good=[-1.0, -1.5], poor=[0.0, 0.0])
    (found,) = duel(values, ["gamer"], ["good", "poor"], higher_is_better=False)
    assert (found["baseline"], found["beats"]) == ("good", True)
    (turned,) = duel(values, ["gamer"], ["good", "poor"], higher_is_better=True)
    assert (turned["baseline"], turned["beats"]) == ("poor", False)


def test_a_tie_is_no_win() -> None:
    values = table(gamer=[0.1, 0.2, 0.3], good=[0.3, 0.1, 0.2])
    (found,) = duel(values, ["gamer"], ["good"], higher_is_better=True)
    assert found["beats"] is False


def test_baselines_are_compared_on_the_units_that_the_adversary_has() -> None:
    """An adversary that is undefined on the hard units gains nothing by it."""
    values = table(gamer=[0.7, np.nan], good=[0.8, 0.1])
    (found,) = duel(values, ["gamer"], ["good"], higher_is_better=True)
    assert (found["n"], found["baseline_value"], found["beats"]) == (1, 0.8, False)


def test_an_adversary_without_values_and_a_board_without_baselines_have_no_duel() -> None:
    values = table(refused=[np.nan, np.nan], good=[0.8, 0.1])
    assert duel(values, ["refused", "never ran"], ["good"], higher_is_better=True) == []
    assert duel(values.loc[["good"]], ["good"], ["absent"], higher_is_better=True) == []


def test_the_reason_names_every_winner_and_the_baseline() -> None:
    values = table(one=[0.9], two=[0.8], good=[0.5])
    found = duel(values, ["two", "one"], ["good"], higher_is_better=True)
    assert lost_to(found) == ("can be gamed here: one, two beat the best simple baseline, good")


def with_adversary(item: BoardEvidence, name: str = "gamer") -> BoardEvidence:
    facts: dict[str, EntryFacts] = dict(item.entries)
    facts[name] = replace(facts[name], kind="control", is_adversary=True)
    return replace(item, entries=facts)


def board(gamer: Any, **changes: Any) -> dict[str, Any]:
    item = evidence(usual() | {"gamer": gamer}, **changes)
    return build_standings(with_adversary(item), None)


def test_a_metric_that_an_adversary_beats_loses_its_rank_and_says_by_whom() -> None:
    found = board(around(0.75, 9))
    metric = found["metrics"]["macro_f1"]
    assert metric["ranks"] is False
    assert metric["reason"] == (
        "can be gamed here: gamer beats the best simple baseline, logistic-regression"
    )
    assert found["ranked"] is False
    assert any("can be gamed here" in reason for reason in found["reasons"])
    for cell in cells_of(found).values():
        assert cell["value"] is not None
        assert (cell["rank_low"], cell["verdict"]) == (None, "not judged")


def test_an_adversary_below_the_best_baseline_changes_nothing_but_has_its_row() -> None:
    found, without = board(around(0.65, 9)), build_standings(evidence(usual()), None)
    assert found["ranked"] is True
    (lost,) = found["metrics"]["macro_f1"]["duels"]
    assert (lost["adversary"], lost["beats"]) == ("gamer", False)
    rows = {row["entry"]: row for row in found["rows"]}
    assert rows["gamer"]["is_adversary"] is True
    for name, cell in cells_of(without).items():
        own = cells_of(found)[name]
        assert (own["rank_low"], own["rank_high"]) == (cell["rank_low"], cell["rank_high"])
        assert own["verdict"] == cell["verdict"]


def test_a_refused_adversary_wins_nothing_though_failed_entries_get_values() -> None:
    found = board("PredictionError: NaN")
    assert found["ranked"] is True
    assert found["metrics"]["macro_f1"]["duels"] == []


def test_a_refused_adversary_gets_no_value_on_a_metric_that_it_was_not_asked() -> None:
    """A pooled metric also looks up its cells, which an adversary without rows does not have."""
    item = evidence(usual() | {"gamer": "PredictionError: NaN"})
    rows = score_rows(item.board, "rare_recall", usual())
    shown = dict(item.constants["metrics"], rare_recall=item.constants["metrics"]["macro_f1"])
    both = replace(
        with_adversary(item),
        scores=pd.concat([item.scores, rows]),
        constants={**item.constants, "metrics": shown},
    )
    found = build_standings(both, None)
    cell = next(r for r in found["rows"] if r["entry"] == "gamer")["metrics"]["rare_recall"]
    assert cell["value"] is None
    assert cell["reason"] == "adversaries attack only metrics that may rank"


def test_a_model_above_the_baselines_is_no_adversary() -> None:
    assert build_standings(evidence(usual()), None)["metrics"]["macro_f1"]["duels"] == []


def test_on_random_boards_and_unranked_metrics_nothing_is_at_stake() -> None:
    assert board(around(0.9, 9), board=RANDOM)["metrics"]["macro_f1"]["duels"] == []
    item = evidence(usual() | {"gamer": around(0.9, 9)})
    rows = score_rows(item.board, "accuracy", usual() | {"gamer": around(0.9, 9)})
    shown = dict(item.constants["metrics"], accuracy=item.constants["metrics"]["macro_f1"])
    both = replace(
        with_adversary(item),
        scores=pd.concat([item.scores, rows]),
        constants={**item.constants, "metrics": shown},
    )
    accuracy = build_standings(both, None)["metrics"]["accuracy"]
    assert (accuracy["duels"], accuracy["reason"]) == ([], "shown, not ranked")
