"""Score rows are those of the metrics, apart by seed, and undefined or failed is never a number."""

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from leaderboard.errors import UndefinedScoreError
from leaderboard.io import FAILURE_COLUMNS, SCORE_COLUMNS, check_scores, write_failures
from leaderboard.metrics import METRICS
from leaderboard.score import (
    failed_board,
    failures_of_board,
    metrics_of,
    score_board,
    score_unit,
)
from leaderboard.spec import Board, Evidence, Metric, Observation

BOARD = Board(dataset="tiny", task="cell_type_annotation", split="donor", unit="donor_id")
CONSTANTS = {"class_units": {"d0": ["A", "B"], "d1": ["A"], "d2": []}}
LABELS = {"d0": "AAABB", "d1": "AAAAA", "d2": "Z"}
PREDICTED = {"d0": "AABAB", "d1": "AAAAB", "d2": "Z"}
NOWHERE = Path("scores.csv")


def evidence(fold: int, unit: str, seed: int = 0, predicted: str | None = None) -> Evidence:
    ids = [f"{unit}-{i}" for i in range(len(LABELS[unit]))]
    truth = pd.DataFrame(
        {"cell_id": ids, "role": "test", "unit": unit, "label": list(LABELS[unit])}
    )
    prediction = pd.DataFrame({"cell_id": ids, "label": list(predicted or PREDICTED[unit])})
    return Evidence(fold=fold, seed=seed, prediction=prediction[::-1], truth=truth)


ALL = metrics_of(BOARD.task)
EVIDENCE = [evidence(fold, unit) for fold, unit in enumerate(LABELS)]


def by_unit(table: pd.DataFrame, column: str, metric: str = "macro_f1") -> dict[str, Any]:
    rows = table[table["metric"] == metric]
    return dict(zip(rows["unit"], rows[column], strict=True))


def test_a_board_is_scored_as_by_hand() -> None:
    table = score_board("me", BOARD, EVIDENCE, CONSTANTS, ALL)
    assert list(table.columns) == SCORE_COLUMNS
    check_scores(table, NOWHERE)
    accuracy, macro_f1 = (by_unit(table, "value", m) for m in ("accuracy", "macro_f1"))
    assert accuracy == pytest.approx({"d0": 0.6, "d1": 0.8, "d2": 1.0})
    assert macro_f1["d0"] == pytest.approx((4 / 6 + 2 / 4) / 2)
    assert macro_f1["d1"] == pytest.approx(8 / 9)
    assert by_unit(table, "n") == {"d0": 5, "d1": 5, "d2": 1}
    assert by_unit(table, "fold") == {"d0": 0, "d1": 1, "d2": 2}
    assert set(table["entry"]) == {"me"}
    assert set(table["board"]) == {BOARD.id}
    assert set(table["stratum"]) == {"all"}


def test_every_metric_of_the_task_has_a_row_in_every_unit() -> None:
    table = score_board("me", BOARD, EVIDENCE, CONSTANTS, ALL)
    names = [m.name for m in ALL]
    assert names == sorted(m.name for m in METRICS.values() if BOARD.task in m.tasks)
    assert set(zip(table["unit"], table["metric"], strict=True)) == {
        (unit, name) for unit in LABELS for name in names
    }


def test_an_undefined_score_is_blank_with_its_reason() -> None:
    table = score_board("me", BOARD, EVIDENCE, CONSTANTS, ALL)
    row = table[(table["unit"] == "d2") & (table["metric"] == "macro_f1")].iloc[0]
    assert row["status"] == "undefined"
    assert pd.isna(row["value"])
    assert row["reason"] == "no class of the board has 5 cells in this unit"


def test_seeds_are_rows_of_their_own() -> None:
    second = [evidence(fold, unit, 1, LABELS[unit]) for fold, unit in enumerate(LABELS)]
    table = score_board("me", BOARD, [*EVIDENCE, *second], CONSTANTS, ALL)
    check_scores(table, NOWHERE)
    alone = score_board("me", BOARD, EVIDENCE, CONSTANTS, ALL)
    pd.testing.assert_frame_equal(table[table["seed"] == 0].reset_index(drop=True), alone)
    assert by_unit(table[table["seed"] == 1], "value", "accuracy") == dict.fromkeys(LABELS, 1.0)


def test_the_order_of_folds_does_not_move_a_score() -> None:
    one, other = (
        score_board("me", BOARD, e, CONSTANTS, ALL).sort_values(
            SCORE_COLUMNS[:7], ignore_index=True
        )
        for e in (EVIDENCE, EVIDENCE[::-1])
    )
    pd.testing.assert_frame_equal(one, other)


def fake_metric(**changes: Any) -> Metric:
    def compute(part: float) -> float:
        if part < 0:
            raise UndefinedScoreError(f"part {part} is below zero")
        return part

    values: dict[str, Any] = {
        "name": "fake", "label": "Fake", "tasks": (), "compute": compute,
        "bounds": (0.0, math.inf), "higher_is_better": True, "citation": "none", "floor": 0.0,
    }  # fmt: skip
    return Metric(**{**values, **changes})


def observation(*parts: float, undefined: str = "") -> Observation:
    return Observation(fold=1, seed=2, unit="u", n=7, parts=parts, undefined=undefined)


def test_a_unit_is_the_mean_of_the_parts_in_which_the_metric_is_defined() -> None:
    (value,) = score_unit(observation(1.0, -1.0, 3.0), [fake_metric()])
    assert (value.value, value.status, value.reason) == (2.0, "ok", "")
    assert (value.fold, value.metric, value.unit, value.n) == (1, "fake", "u", 7)


def test_a_unit_in_which_no_part_is_defined_keeps_the_first_reason() -> None:
    (value,) = score_unit(observation(-2.0, -1.0), [fake_metric()])
    assert (value.value, value.status) == (None, "undefined")
    assert value.reason == "part -2.0 is below zero"


def test_without_enough_controls_only_metrics_that_need_them_are_undefined() -> None:
    item = observation(1.0, undefined="40 control cells in k1, 100 needed")
    needs, free = score_unit(item, [fake_metric(needs_control=True), fake_metric()])
    assert (needs.value, needs.status) == (None, "undefined")
    assert needs.reason == "40 control cells in k1, 100 needed"
    assert (free.value, free.status, free.reason) == (1.0, "ok", "")


def test_an_error_that_is_not_undefined_is_not_swallowed() -> None:
    def broken(_part: float) -> float:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        score_unit(observation(1.0), [fake_metric(compute=broken)])


def test_adversaries_are_scored_on_what_may_rank() -> None:
    ranked = metrics_of("perturbation_prediction", ranked_only=True)
    names = ["nwmse", "pds", "pearson_delta", "pearson_delta_reference"]
    assert [m.name for m in ranked] == names
    assert {m.name for m in metrics_of("perturbation_prediction")} > set(names)


def test_a_failed_board_fails_in_every_unit_and_metric_without_a_number() -> None:
    table = failed_board("me", BOARD, EVIDENCE, "ValueError: no", ALL)
    check_scores(table, NOWHERE)
    complete = score_board("me", BOARD, EVIDENCE, CONSTANTS, ALL)
    # A pooled metric counts cells of its own, which only a prediction's unit record knows.
    pooled = [name for name, metric in METRICS.items() if metric.is_pooled]
    table_n, complete_n = (t[~t["metric"].isin(pooled)] for t in (table, complete))
    pd.testing.assert_series_equal(
        table_n.sort_values(["metric", "unit"], ignore_index=True)["n"],
        complete_n.sort_values(["metric", "unit"], ignore_index=True)["n"],
        check_dtype=False,
    )
    key = ["fold", "seed", "metric", "unit"]
    pd.testing.assert_frame_equal(
        table[key].sort_values(key, ignore_index=True),
        complete[key].sort_values(key, ignore_index=True),
        check_dtype=False,
    )
    assert set(table["status"]) == {"failed"}
    assert set(table["reason"]) == {"ValueError: no"}
    assert table["value"].isna().all()


def test_a_failed_board_counts_scored_cells_only_and_pools_units_that_are_spread() -> None:
    one, other = evidence(0, "d0"), evidence(1, "d0")
    controls = one.truth.assign(role="control_truth", unit="")
    both = [replace(one, truth=pd.concat([one.truth, controls])), other]
    table = failed_board("me", BOARD, both, "x", ALL)
    assert set(table["unit"]) == {"d0"}
    assert set(table["fold"]) == {-1}
    assert set(table["n"]) == {10}


def test_failure_rows_keep_the_schema_and_name_entry_and_board(tmp_path: Path) -> None:
    table = failures_of_board("me", BOARD, EVIDENCE, CONSTANTS)
    assert list(table.columns) == FAILURE_COLUMNS
    write_failures(tmp_path / "f.csv", table)
    assert set(table["entry"]) == {"me"}
    confusion = table[table["kind"] == "confusion"].set_index(["unit", "subject", "key"])
    assert confusion.loc[("d0", "A", "B"), "value"] == pytest.approx(1 / 3)
    assert confusion.loc[("d0", "A", "B"), "n"] == 1
    shares = confusion.groupby(["unit", "subject"])["value"].sum()
    np.testing.assert_allclose(shares, 1.0)
