"""Pages show where entries fail: every number with its interval, its support and its units."""

import json
import re
from dataclasses import replace
from typing import Any

import pandas as pd
import pytest

from leaderboard.inference.evidence import BoardEvidence
from leaderboard.inference.failures import build_failures
from leaderboard.inference.standings import build_standings
from leaderboard.io import FAILURE_COLUMNS
from leaderboard.site import text
from leaderboard.site.pages import build_pages
from leaderboard.site.recall import build_recall
from leaderboard.site.records import ResourceText, SiteData
from leaderboard.site.unsolved import build_entry_failures, build_unsolved
from leaderboard.spec import Board
from tests.site_data import ANNOTATION, DONORS, HOSTILE, LEVELS, evidence, failure, html_of, site
from tests.site_screen import K562, screen_evidence, screen_site

FOUND = {"logistic-regression": 9, "majority": 0, "nearest-centroid": 6, "net": 4}
"""Of 12 rare cells in every donor, how many an entry finds; one more in every other donor."""
BOARD = f"sim-{ANNOTATION}-donor"


def rows_of(board: str, rare: str = "Rare cells/+") -> pd.DataFrame:
    """8 donors with 2,000 cells of A, which all entries find, and 12 rare ones."""
    rows = []
    for entry, n in FOUND.items():
        for fold, unit in enumerate(DONORS):
            base = {"entry": entry, "unit": unit, "fold": fold}
            found = n + (fold % 2) * (n > 0)
            rows.append(failure("confusion", board, subject="A", key="A", n=2000, **base))
            rows.append(failure("confusion", board, subject=rare, key="A", n=12 - found, **base))
            if found:
                rows.append(failure("confusion", board, subject=rare, key=rare, n=found, **base))
    return pd.DataFrame(rows)[FAILURE_COLUMNS]


def record_of(item: BoardEvidence, rows: pd.DataFrame) -> dict[str, Any]:
    filled = BoardEvidence(**{**item.__dict__, "failures": rows})
    standings = build_standings(item, None)
    record: dict[str, Any] = json.loads(json.dumps(build_failures(filled, standings["sorted_by"])))
    return record


@pytest.fixture(scope="module")
def data() -> SiteData:
    found = site()
    item = evidence(found.boards[0], levels=LEVELS)
    return replace(found, failures={BOARD: record_of(item, rows_of(BOARD))})


@pytest.fixture(scope="module")
def pages(data: SiteData) -> dict[str, str]:
    return build_pages(data)


def test_a_rare_type_has_a_table_with_recall_interval_support_and_confusion(
    data: SiteData, pages: dict[str, str]
) -> None:
    panel = build_recall(data.failures[BOARD], data.standings[BOARD])
    assert panel is not None
    (table,) = panel.tables
    assert (table.label, table.cells, table.n_units) == ("Rare cells/+", "96 cells", 8)
    cells = {entry: cell for entry, _, _, cell in table.rows}
    assert [entry for entry, *_ in table.rows] == sorted(FOUND, key=lambda e: -FOUND[e])
    net = data.failures[BOARD]["labels"][0]["entries"]["net"]
    assert (cells["net"].value, cells["net"].counts) == (text.number(36 / 96), "36 of 96")
    assert cells["net"].interval == text.bracket(text.number(net["low"]), text.number(net["high"]))
    assert cells["net"].units == "8 donors"
    assert cells["net"].confused == (f"A: 60 cells (62{text.NO_BREAK}%)",)
    assert cells["net"].baseline == f"{text.number(76 / 96)} (logistic-regression)"
    assert cells["net"].difference == text.signed(-40 / 96)
    assert "exact bound over donors" in cells["majority"].note
    page = pages[f"boards/{BOARD}.html"]
    assert f'<h3 id="{table.anchor}">' in page
    assert 'href="#recall-rare-cells"' in page
    section = page.partition(f'id="{table.anchor}"')[2].partition("</section>")[0]
    assert section.count('<th scope="row"') == len(FOUND)
    for cell in cells.values():
        assert cell.interval in section
        assert f'<td class="n">{cell.counts}</td><td class="n">8</td>' in section


def test_the_matrix_has_every_type_and_every_entry(data: SiteData) -> None:
    panel = build_recall(data.failures[BOARD], data.standings[BOARD])
    assert panel is not None
    assert [row.label for row in panel.rows] == ["Rare cells/+", "A"]
    assert {entry for entry, _ in panel.entries} == set(LEVELS)
    for row in panel.rows:
        assert all(cell is not None and cell.interval for cell in row.cells_by_entry)


def test_places_on_the_page_are_unique_for_labels_that_look_alike(data: SiteData) -> None:
    rows = pd.concat([rows_of(BOARD, name) for name in ("T-cell", "T cell", "+", "/")])
    rows = rows.drop_duplicates(["entry", "unit", "subject", "key"])
    record = record_of(evidence(data.boards[0], levels=LEVELS), rows)
    panel = build_recall(record, data.standings[BOARD])
    assert panel is not None
    anchors = [table.anchor for table in panel.tables]
    assert len(set(anchors)) == 4
    assert all(re.fullmatch(r"recall-[a-z0-9-]+", anchor) for anchor in anchors)


def test_types_that_no_training_held_say_so(data: SiteData) -> None:
    rows = rows_of(BOARD)
    alone = rows[rows["fold"] == 0].assign(subject="new", key="A", n=30)
    alone = alone.drop_duplicates("entry")
    record = record_of(evidence(data.boards[0], levels=LEVELS), pd.concat([rows, alone]))
    changed = replace(data, failures={BOARD: record})
    page = build_pages(changed)[f"boards/{BOARD}.html"]
    assert "in no training cell of its fold: not judged" in page


def test_a_board_says_what_nobody_solves(data: SiteData, pages: dict[str, str]) -> None:
    tables = build_unsolved(data.failures[BOARD], data.standings[BOARD])
    assert [table.title for table in tables] == ["Donors", "Cell types"]
    donors, types = tables
    assert donors.n_nobody + donors.n_one == 8
    assert types.finding.startswith("Of 2 types, no entry finds half of the cells of 0; found")
    page = pages[f"boards/{BOARD}.html"]
    assert "What does nobody solve?" in page
    assert donors.finding in page


def test_nothing_is_counted_where_no_unit_has_a_value(data: SiteData) -> None:
    record = json.loads(json.dumps(data.failures[BOARD]))
    record["unsolved"]["units"].update(units=0, nobody=[], one=[])
    record["unsolved"]["labels"].update(labels=0, nobody=[], one=[])
    assert build_unsolved(record, data.standings[BOARD]) == ()


def test_an_entry_page_says_where_it_loses(data: SiteData, pages: dict[str, str]) -> None:
    found = build_entry_failures(data.failures[BOARD], data.standings[BOARD], "majority")
    assert found.losses is not None
    assert found.losses.finding == "Below logistic-regression in 8 of 8 donors."
    assert len(found.losses.worst) == len(found.losses.lost) == 5
    assert {row.difference[0] for row in found.losses.lost} == {text.MINUS}
    page = pages["entries/majority.html"]
    assert found.losses.finding in page
    assert "Cell types, rare ones first" in page
    assert found.recalls[0][2].interval in page


def direction_rows() -> pd.DataFrame:
    base = {"entry": "net", "unit": "all", "fold": -1}
    rows = [
        failure("direction", K562.id, subject="TURNED", key="wrong direction", value=1.0, n=12,
                **base),
        failure("direction", K562.id, subject="all", key="genes tested", value=90, n=12, **base),
    ]  # fmt: skip
    return pd.DataFrame(rows)[FAILURE_COLUMNS]


def test_genes_sent_the_wrong_way_are_on_the_page_of_the_entry() -> None:
    found = screen_site()
    record = record_of(screen_evidence(), direction_rows())
    page = build_pages(replace(found, failures={K562.id: record}))["entries/net.html"]
    assert "Of 90 genes that surely move in at least 5 perturbations, 1 is sent the wrong" in page
    assert '<bdi>TURNED</bdi></th><td class="n">12 of 12</td>' in page
    assert text.p_value(90 / 2**12) in page


def test_hostile_text_in_failure_records_renders_inert(data: SiteData) -> None:
    rows = rows_of(BOARD, HOSTILE).assign(unit=lambda t: t["unit"].replace("D0", HOSTILE))
    record = record_of(evidence(data.boards[0], levels=LEVELS), rows)
    pages = build_pages(replace(data, failures={BOARD: record}))
    for path, reader in html_of(pages).items():
        assert HOSTILE not in pages[path], path
        for tag, attributes in reader.tags:
            assert tag not in {"script", "img"}, path
            assert not [name for name in attributes if name.startswith("on")], path
    assert "&lt;script&gt;" in pages[f"boards/{BOARD}.html"]


def test_the_page_across_boards_links_to_what_nobody_solves_and_to_rare_types(
    data: SiteData, pages: dict[str, str]
) -> None:
    page = pages["failures.html"]
    assert f'href="boards/{BOARD}.html#recall-rare-cells"' in page
    assert f'href="boards/{BOARD}.html#h-unsolved"' in page
    for table in build_unsolved(data.failures[BOARD], data.standings[BOARD]):
        assert table.finding in page
    assert json.loads(pages[f"api/v1/failures/{BOARD}.json"]) == data.failures[BOARD]
    readers = html_of(pages)
    for _, attributes in readers["failures.html"].tags:
        target, _, fragment = attributes.get("href", "").partition("#")
        if target.startswith("boards/"):
            assert not fragment or fragment in readers[target].ids
    assert "No board of this build has a result." in build_pages(site())["failures.html"]


def test_pages_without_a_failure_record_have_no_empty_section() -> None:
    pages = build_pages(site())
    for name in ("What does nobody solve?", "How well is each cell type found?"):
        assert not any(name in body for body in pages.values())


def test_links_resolve_and_ids_are_unique_with_failures(pages: dict[str, str]) -> None:
    for path, reader in html_of(pages).items():
        assert len(set(reader.ids)) == len(reader.ids), path
        for _, attributes in reader.tags:
            link = attributes.get("href", "")
            assert not link.startswith("#") or link[1:] in reader.ids, f"{path} links to {link}"


def test_the_board_says_that_its_first_metric_lost_its_rank() -> None:
    board = Board(dataset="sim", task=ANNOTATION, split="donor", unit="donor_id")
    data = site()
    standings = json.loads(json.dumps(build_standings(evidence(board), None)))
    won = {**data.standings[BOARD]["metrics"]["macro_f1"], "ranks": False}
    won.update(
        reason="can be gamed here: shuffled in type beats the best simple baseline, knn",
        duels=[{"adversary": "shuffled", "beats": True, "value": 0.9, "baseline": "knn",
                "baseline_value": 0.8, "n": 8}],
    )  # fmt: skip
    standings.update(ranked=False, reasons=[won["reason"]], metrics={"macro_f1": won})
    changed = replace(data, standings={**data.standings, BOARD: standings})
    page = build_pages(changed)[f"boards/{BOARD}.html"]
    box = page.partition('<dl class="facts state">')[2].partition("</dl>")[0]
    assert "loses its rank: can be gamed here: shuffled in type beats" in box
    assert "</svg>trusted</span>" not in box
    clean = build_pages(data)[f"boards/{BOARD}.html"]
    assert "</svg>trusted</span>" in clean.partition('<dl class="facts state">')[2]


def test_an_entry_page_names_outside_tables_with_licence_and_citation(data: SiteData) -> None:
    table = ResourceText(
        id="go", title="Gene terms", repository_licence="MIT", data_licence="CC BY 4.0",
        citation="Someone 2021", doi="10.1000/x.2",
    )  # fmt: skip
    entries = {**data.entries, "net": replace(data.entries["net"], resources=(table,))}
    pages = build_pages(replace(data, entries=entries))
    page = pages["entries/net.html"]
    assert "file as packaged: MIT; table: CC BY 4.0" in page
    assert 'href="https://doi.org/10.1000/x.2"' in page
    assert "Someone 2021" in page
    assert "Outside tables" not in pages["entries/majority.html"]
