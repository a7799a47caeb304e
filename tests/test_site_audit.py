"""What pages say of the audit: flags of entries, exposure, findings, nearest perturbations."""

import json
from dataclasses import replace
from typing import Any

import pandas as pd

from leaderboard.audit._similarity import COLUMNS, plain_rows, typed
from leaderboard.site import text
from leaderboard.site.boards import build_board, merge_folds
from leaderboard.site.entries import build_entry
from leaderboard.site.novelty import N_SHOWN, build_novelty
from leaderboard.site.pages import build_pages
from leaderboard.site.records import SiteData
from tests.site_data import HOSTILE, entry, html_of, site

BOARD = "sim-cell_type_annotation-donor"
SEEN = {"check": "exposure", "severity": "error", "message": "saw these data before: it says so"}


def refused(message: str = SEEN["message"]) -> SiteData:
    """Return the site on whose first board the audit refuses the only model."""
    data = site()
    standings = json.loads(json.dumps(dict(data.standings)))
    (row,) = [r for r in standings[BOARD]["rows"] if r["entry"] == "net"]
    row["flags"] = [{**SEEN, "message": message}]
    for found in standings.values():
        for own in found["rows"] if found["board"]["dataset"] == "sim" else ():
            if own["entry"] == "net":
                own |= {"exposure": "seen", "exposure_evidence": "x"}
    entries = {**data.entries, "net": entry("net", pretraining=["census"], baseline=False)}
    return replace(data, standings=standings, entries=entries)


def test_a_refused_entry_is_set_apart_and_says_why() -> None:
    page = build_board(refused(), BOARD)
    groups = {title: [r.entry for r in rows] for title, _, rows in page.tables[0].groups}
    assert groups["Set apart"] == ["net"]
    assert "Models" not in groups
    html = build_pages(refused())[f"boards/{BOARD}.html"]
    assert "saw these data before: it says so" in html
    clean = build_board(site(), BOARD)
    assert "Set apart" not in {title for title, _, _ in clean.tables[0].groups}


def test_a_warning_leaves_an_entry_where_it_is() -> None:
    data = refused()
    for row in data.standings[BOARD]["rows"]:
        for flag in row["flags"]:
            flag["severity"] = "warning"
    page = build_board(data, BOARD)
    assert "Set apart" not in {title for title, _, _ in page.tables[0].groups}
    (row,) = [r for r in page.tables[0].rows if r.entry == "net"]
    assert [flag["severity"] for flag in row.flags] == ["warning"]


def test_flags_are_escaped() -> None:
    pages = build_pages(refused(HOSTILE))
    html = html_of(pages)[f"boards/{BOARD}.html"]
    assert HOSTILE not in pages[f"boards/{BOARD}.html"]
    assert all("onerror" not in attributes for _, attributes in html.tags)


def test_an_entrys_page_lists_its_exposure_by_dataset() -> None:
    data = refused()
    boards = {name: build_board(data, name) for name in data.standings}
    exposure = build_entry(data, boards, "net").exposure
    assert ("sim", "seen", "x") in exposure
    assert {dataset for dataset, _, _ in exposure} == {"sim", "real"}
    assert build_entry(data, boards, "majority").exposure == ()


def finding(fold: int, **changes: Any) -> dict[str, Any]:
    fields = {"check": "groups", "board": "b", "severity": "warning", "message": "m", "ids": ["i"]}
    return {**fields, "fold": fold, "n": 1, **changes}


def test_equal_findings_of_several_folds_are_said_once_and_errors_first() -> None:
    found = merge_folds(
        [finding(2), finding(0), finding(1, ids=["j"]), finding(-1, severity="error")]
    )
    assert [(f["severity"], list(f["ids"]), f["where"]) for f in found] == [
        ("error", ["i"], "all folds"),
        ("warning", ["i"], "folds 0, 2"),
        ("warning", ["j"], "fold 1"),
    ]
    assert text.folds([3]) == "fold 3"


def novelty(n: int, **changes: Any) -> list[dict[str, Any]]:
    row = {
        "board": "b", "fold": 0, "bin": "novelty_far", "response": "near", "shown": "no",
        "n_targets": 2, "n_measured": 1, "go": "twin", "go_jaccard": 0.25, **changes,
    }  # fmt: skip
    rows = [row | {"unit": f"P{k:02d}", "distance": 0.05 * (k + 1)} for k in range(n)]
    return plain_rows(typed(pd.DataFrame(rows, columns=COLUMNS)))


def test_the_farthest_perturbations_come_first() -> None:
    table = build_novelty(novelty(N_SHOWN + 2), "b")
    assert table is not None
    assert table.n == N_SHOWN + 2
    assert [r.unit for r in table.rest] == ["P01", "P00"]
    first = table.first[0]
    assert (first.unit, first.response.name, first.response.value) == ("P11", "near", ".60")
    assert (first.go.name, first.go.value, first.measured) == ("twin", ".25", "1 of 2")
    assert (first.coexpression.name, first.coexpression.value) == ("", "")


def test_a_perturbation_of_several_folds_has_the_fold_where_training_is_nearest() -> None:
    far, near = novelty(1, fold=0), novelty(1, fold=1, response="nearer")
    far[0]["distance"] = 0.9
    table = build_novelty([*far, *near], "b")
    assert table is not None
    assert [(r.unit, r.response.name) for r in table.rows] == [("P00", "nearer")]


def test_boards_that_show_every_perturbation_elsewhere_have_no_such_table() -> None:
    assert build_novelty(novelty(3, shown="itself"), "b") is None
    assert build_novelty(novelty(3, shown=""), "b") is None
    assert build_novelty(novelty(3), "another") is None


def test_the_table_is_on_the_page_of_its_board() -> None:
    data = site()
    rows = novelty(3, board=BOARD, response=HOSTILE)
    datasets = {**data.datasets, "sim": replace(data.datasets["sim"], novelty=rows)}
    pages = build_pages(replace(data, datasets=datasets))
    assert "How new is what is tested?" in pages[f"boards/{BOARD}.html"]
    assert HOSTILE not in pages[f"boards/{BOARD}.html"]
    assert "How new is what is tested?" not in pages["boards/real-cell_type_annotation-donor.html"]
