"""What a page says of ranks: who may be best, who beats every baseline, and by which method."""

from dataclasses import replace
from typing import Any

import pandas as pd

from leaderboard.inference.standings import build_standings
from leaderboard.site.boards import build_board
from leaderboard.site.findings import build_finding
from leaderboard.site.pages import build_pages
from leaderboard.site.tables import build_table
from tests.inference._boards import (
    SCREEN,
    around,
    cells_of,
    constants,
    evidence,
    facts_of,
    score_rows,
    usual,
)
from tests.site_data import site


def two_metrics() -> dict[str, Any]:
    """A screen that ranks by two metrics, on which different entries lead."""
    baselines = {"control-mean": around(0.5, 1), "training-mean": around(0.6, 2)}
    pds = baselines | {"first": around(0.9, 3), "second": around(0.7, 4)}
    delta = baselines | {"first": around(0.55, 5), "second": around(0.8, 6)}
    item = evidence(usual())
    scores = pd.concat([score_rows(SCREEN, "pds", pds), score_rows(SCREEN, "pearson_delta", delta)])
    frozen = {
        "metrics": {"pds": constants(floor=0.5), "pearson_delta": constants(floor=0.0)},
        "responders": [f"u{k}" for k in range(8)],
    }
    kinds = {"control_mean": "baseline", "training_mean": "baseline"}
    return build_standings(
        replace(
            item, board=SCREEN, scores=scores, constants=frozen, entries=facts_of(pds, **kinds)
        ),
        None,
    )


def test_every_ranking_metric_says_who_may_be_best_and_who_beats_every_baseline() -> None:
    standings = two_metrics()
    assert standings["sorted_by"] == "pds"
    for metric, leader, beats in (
        ("pds", "First", ("First", "Second")),
        ("pearson_delta", "Second", ("Second",)),
    ):
        found = build_finding(standings, metric)
        assert found.head == f"{leader} alone can be first."
        assert found.beats == beats
        assert set(standings["metrics"][metric]["beats_every_baseline"]) == {
            name.lower() for name in beats
        }
    assert build_finding(standings) == build_finding(standings, "pds")


def test_the_check_says_whether_sign_flips_agree() -> None:
    standings = two_metrics()
    assert build_finding(standings).check.endswith("give the same rank sets.")
    standings["metrics"]["pds"]["check"] = {"first": [1, 2], "second": [2, 2]}
    assert build_finding(standings).check.endswith(
        "give other sets: First 1\N{EN DASH}2 and Second 2."
    )


def test_the_check_in_the_standings_is_where_sign_flips_differ() -> None:
    """A lead in all eight donors, huge in one: t cannot tell, the signs can."""
    base = around(0.5, 1)
    values = {"majority": base, "model": [*(v + 0.01 for v in base[:7]), base[7] + 0.3]}
    standings = build_standings(evidence(values), None)
    cells = cells_of(standings)
    assert {name: c["rank_high"] for name, c in cells.items()} == {"majority": 2, "model": 2}
    assert standings["metrics"]["macro_f1"]["check"] == {"majority": [2, 2], "model": [1, 1]}
    few = build_standings(evidence(usual(5)), None)
    assert few["metrics"]["macro_f1"]["check"] == {}
    assert build_finding(few).check == ""


def test_a_table_names_declared_baselines_that_no_verdict_is_judged_against() -> None:
    values: dict[str, Any] = usual() | {"logistic-regression": "ValueError: no"}
    assert build_table(build_standings(evidence(values), None), "macro_f1").lost == (
        "Logistic-Regression"
    )
    assert build_table(build_standings(evidence(usual()), None), "macro_f1").lost == ""


def test_the_page_prints_policy_check_and_standard_error() -> None:
    data = site()
    board = data.boards[0].id
    page, html = build_board(data, board), build_pages(data)[f"boards/{board}.html"]
    assert page.policy in html
    assert page.finding.check
    assert page.finding.check in html
    row = page.tables[0].rows[0]
    assert row.unit_se
    assert f"SE {row.unit_se}" in html


def test_many_units_name_the_bootstrap() -> None:
    standings = build_standings(evidence(usual(32)), None)
    found = build_finding(standings)
    assert "32 donors (bootstrap max-T, Romano-Wolf step-down)" in found.note
    assert build_table(standings, "macro_f1").test == "bootstrap-t"
    assert standings["policy"].startswith("32 units: bootstrap-t verdicts")
    assert cells_of(standings)["above"]["verdict"] == "yes"
