"""Pages of modality boards: where an entry fails, and which shown metric is not to be trusted."""

import math
from dataclasses import replace
from typing import Any

import pytest

from leaderboard.inference.standings import build_standings
from leaderboard.site import text
from leaderboard.site.compact import build_also
from leaderboard.site.failures import build_failures
from leaderboard.site.pages import build_pages
from leaderboard.site.records import MetricText, SiteData
from leaderboard.spec import Board
from tests.site_data import HOSTILE, evidence, failure, html_of, site

MODALITY = Board(
    dataset="sim", task="modality_prediction", split="donor", unit="donor_id", protein_unit="log"
)
LEVELS = {"ridge-protein": 0.7, "mean-protein": 0.0, "net": 0.75}


def protein(name: str, value: float, unit: str = "D0", **changes: Any) -> dict[str, Any]:
    return failure("protein", "b", subject=name, value=value, unit=unit, key="pearson", **changes)


def type_error(name: str, value: float, n: int, **changes: Any) -> dict[str, Any]:
    return failure("type_error", "b", subject=name, value=value, n=n, key="rmse", **changes)


def test_the_worst_proteins_are_those_of_the_lowest_mean_over_units() -> None:
    rows = [protein("CD3", 0.9), protein("CD3", 0.5, "D1"), protein("CD4", 0.6)]
    found = build_failures(rows, [protein("CD3", 0.25)], [])
    assert [(w.name, w.value, w.baseline, w.size) for w in found.proteins] == [
        ("CD4", ".600", "not run", "1"),
        ("CD3", ".700", ".250", "2"),
    ]
    assert found.any
    many = build_failures([protein(f"P{k}", k / 20) for k in range(20)], [], [])
    assert [w.name for w in many.proteins] == [f"P{k}" for k in range(8)]


def test_the_error_of_a_type_is_over_all_of_its_cells_and_small_types_are_left_out() -> None:
    rows = [
        type_error("B", 1.0, 30),
        type_error("B", 2.0, 10, unit="D1"),
        type_error("T", 3.0, 9),
        type_error("NK", 2.5, 10),
    ]
    found = build_failures(rows, [type_error("NK", 0.5, 10)], [])
    assert [(w.name, w.value, w.baseline, w.size) for w in found.types] == [
        ("NK", "2.500", ".500", "10"),
        ("B", text.measure(math.sqrt((30 * 1 + 10 * 4) / 40)), "not run", "40"),
    ]


def test_cells_of_a_type_are_counted_once_whatever_the_number_of_seeds() -> None:
    rows = [type_error("B", 1.0, 12, seed=s) for s in (0, 1)]
    rows += [type_error("T", 1.0, 6, seed=s) for s in (0, 1)]
    assert [(w.name, w.size) for w in build_failures(rows, [], []).types] == [("B", "12")]


def test_no_rows_are_no_section() -> None:
    assert not build_failures([], [], []).any


def pages_of(data: SiteData, rows: list[dict[str, Any]]) -> str:
    board = data.boards[0].id
    lists = [row | {"board": board, "entry": "net"} for row in rows]
    results = [replace(data.results[0], failures=lists), *data.results[1:]]
    return build_pages(replace(data, results=results))["entries/net.html"]


def test_an_entrys_page_names_its_worst_proteins_and_types() -> None:
    page = pages_of(site(), [protein("CD3", 0.125), type_error("NK", 1.5, 20)])
    assert "the proteins whose differences between cells are told worst" in page
    assert "<h3>Worst proteins</h3>" in page
    assert "<h3>Worst cell types</h3>" in page
    for cell in ("<bdi>CD3</bdi>", ">.125<", "<bdi>NK</bdi>", ">1.500<", ">20<"):
        assert cell in page
    assert "Largest confusions" not in page


def test_hostile_names_of_proteins_and_types_are_inert() -> None:
    page = pages_of(site(), [protein(HOSTILE, 0.1), type_error(HOSTILE, 1.0, 20)])
    assert page.count("&lt;script&gt;alert(1)") >= 2
    scripts = [a for tag, a in html_of({"p.html": page})["p.html"].tags if tag == "script"]
    assert all(a.get("src") for a in scripts)
    assert "<img src=x" not in page


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"trusted": True, "reason": ""}, ""),
        ({"trusted": False, "reason": "the mean does it"}, "the mean does it"),
        ({"trusted": False, "reason": "no value", "ceiling_kind": "none"}, ""),
    ],
)
def test_a_shown_metric_says_why_it_is_not_trusted(changes: dict[str, Any], told: str) -> None:
    constants = {
        "floor": 0.0, "ceiling": 0.9, "ceiling_low": 0.9, "ceiling_high": 0.9,
        "ceiling_kind": "noise-free truth", **changes,
    }  # fmt: skip
    found = evidence(
        MODALITY, metric="pearson_per_cell", levels=LEVELS,
        constants={"metrics": {"pearson_per_cell": constants}},
    )  # fmt: skip
    words = MetricText(label="Pearson per cell", citation="", is_ranked=False)
    table = build_also(
        build_standings(found, None), {"pearson_per_cell": words}, ["pearson_per_cell"]
    )
    assert table is not None
    assert [column.doubt for column in table.columns] == [told]
