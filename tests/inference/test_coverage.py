"""Failed, undefined and repeated runs, and which units rank."""

from typing import Any

import numpy as np
import pytest

from leaderboard.inference.evidence import BoardEvidence
from leaderboard.inference.standings import build_standings
from tests.inference._boards import (
    BASELINES,
    SCREEN,
    around,
    cells_of,
    constants,
    evidence,
    facts_of,
    rows_of,
    score_rows,
    screen_evidence,
    usual,
)


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
