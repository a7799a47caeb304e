import gzip
import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import pandas as pd
import pytest

from leaderboard.inference.standings import build_standings
from leaderboard.inference.strata import OUTSIDE as OUTSIDE_STRATA
from leaderboard.site import text
from leaderboard.site.boards import BoardPage, build_board
from leaderboard.site.compact import CompactTable, build_also
from leaderboard.site.pages import build_pages, render_fragment
from leaderboard.site.records import MetricText, SiteData
from leaderboard.site.strata import build_signal, label_of
from leaderboard.site.trust import state_of
from leaderboard.spec import Board
from tests.site_data import ANNOTATION, HOSTILE, LEVELS, dataset, entry, evidence, html_of
from tests.site_screen import (
    DECLARED,
    K562,
    KINDS,
    OUTSIDE,
    RANKED,
    SHOWN,
    UNITS,
    constants,
    metric_texts,
    score_rows,
    screen_evidence,
    screen_site,
)

MAX_COMPRESSED = 150_000
DASH = "\N{EN DASH}"
CONTROLS = {name for name, kind in KINDS.items() if kind in {"control", "adversary"}}
OWN = set(KINDS) - CONTROLS


@pytest.fixture(scope="module")
def data() -> SiteData:
    return screen_site()


@pytest.fixture(scope="module")
def page(data: SiteData) -> BoardPage:
    return build_board(data, K562.id)


@pytest.fixture(scope="module")
def html(data: SiteData) -> str:
    return build_pages(data)[f"boards/{K562.id}.html"]


def also_of(page: BoardPage) -> CompactTable:
    assert page.also is not None
    return page.also


def responders_mean(name: str, metric: str, units: list[str] | None = None) -> float:
    scores = score_rows(K562)
    own = scores[(scores["entry"] == name) & (scores["metric"] == metric)]
    return float(own.loc[own["unit"].isin(units or UNITS), "value"].mean())


def test_only_metrics_that_may_rank_have_a_table_of_their_own(page: BoardPage, html: str) -> None:
    assert {table.name for table in page.tables} == set(RANKED)
    assert page.tables[0].name == "nwmse"
    assert html.count('<table class="standings') == len(RANKED)
    assert [column.name for column in also_of(page).columns] == ["mse", "wmse"]
    assert html.count("Also shown, never ranked") == 1


def test_the_compact_table_holds_the_means_of_models_and_baselines(page: BoardPage) -> None:
    table = also_of(page)
    rows = [row for _, members in table.groups for row in members]
    assert [title for title, _ in table.groups] == ["Models", "Simple baselines"]
    assert {row.entry for row in rows} == OWN
    for row in rows:
        values = [cell.value for cell in row.cells]
        assert values == [text.measure(responders_mean(row.entry, m)) for m in ("mse", "wmse")]
    assert (table.columns[0].scale.floor, table.columns[0].scale.ceiling) == (".0040", ".00020")
    assert table.columns[0].scale.direction == "lower is better"


def test_missing_values_are_dashes_with_reasons_and_metrics_without_any_are_named(
    page: BoardPage, html: str
) -> None:
    gaps = {(metric, reason): who for metric, reason, who in also_of(page).gaps}
    assert gaps == {
        ("energy distance", "undefined: needs predicted cells"): "every entry here",
        ("mse", "undefined in some units: P00 is not in its graph"): "gears",
    }
    gears = next(r for _, rows in also_of(page).groups for r in rows if r.entry == "gears")
    assert gears.cells[0].units == "11 of 12"
    assert f'title="failed: 12 row(s) hold NaN">{DASH}' in html


def test_a_pooled_metric_says_over_what_it_is_pooled() -> None:
    board = Board(dataset="sim", task=ANNOTATION, split="donor", unit="donor_id")
    standings = build_standings(evidence(board), None)
    standings["metrics"]["rare_recall"] = {
        **standings["metrics"]["macro_f1"], "label": "Rare recall"
    }  # fmt: skip
    for row in standings["rows"]:
        row["metrics"]["rare_recall"] = row["metrics"]["macro_f1"]
    words = MetricText(label="Rare recall", citation="", is_ranked=False, is_pooled=True)
    table = build_also(standings, {"rare_recall": words}, ["rare_recall"])
    assert table is not None
    assert table.columns[0].note == "found among all rare cells of all units"
    whole = replace(words, is_pooled=False, is_whole=True)
    table = build_also(standings, {"rare_recall": whole}, ["rare_recall"])
    assert table is not None
    assert table.columns[0].note == "one value for the whole board"


def test_controls_and_adversaries_are_never_among_the_entries(page: BoardPage) -> None:
    for table in page.tables:
        assert not CONTROLS & {row.entry for row in table.rows}
        assert {row.entry for row in table.controls} == CONTROLS
    assert page.strata is not None
    assert {entry for _, rows in page.strata.groups for entry, _, _, _ in rows} == OWN
    assert page.controls is not None
    groups = {title: {row.entry for row in rows} for title, rows in page.controls.groups}
    assert groups == {
        "Controls that test the scale": {"oracle"},
        "Adversaries": {"constant", "nan-filler", "rescaler"},
    }


def test_a_refused_adversary_shows_none_of_the_values_that_ranking_gave_it(
    data: SiteData, page: BoardPage
) -> None:
    ranked = next(r for r in data.standings[K562.id]["rows"] if r["entry"] == "nan-filler")
    assert ranked["metrics"]["nwmse"]["value"] is not None
    assert page.controls is not None
    shown = next(r for _, rows in page.controls.groups for r in rows if r.entry == "nan-filler")
    assert {cell.value for cell in shown.cells} == {""}
    assert page.duels.refused == (("nan-filler", "12 row(s) hold NaN"),)


def test_strata_are_the_means_of_their_pairs_with_counts_and_plain_words(page: BoardPage) -> None:
    frozen = constants()
    near = [u for fold in frozen["novelty"].values() for u, d in fold.items() if d < 0.25]
    members = {
        "pairs, both singles seen in training": UNITS[::2],
        "pairs, no single seen in training": UNITS[7::2],
        "singles, unseen in training": UNITS[1:6:2],
        label_of("novelty_near"): sorted(set(near) & set(UNITS)),
        label_of("weak"): OUTSIDE["weak"],
        label_of("noise"): OUTSIDE["noise"],
    }
    assert page.strata is not None
    columns = {column.label: k for k, column in enumerate(page.strata.columns)}
    rows = {entry: cells for _, found in page.strata.groups for entry, _, _, cells in found}
    for label, units in members.items():
        at = columns[label]
        assert page.strata.columns[at].n == len(units)
        for name in sorted(OWN):
            expected = text.error_ratio(responders_mean(name, "nwmse", units))
            assert rows[name][at].value == expected
    parts = {name: cells[columns[label_of("noise")]].n for name, cells in rows.items()}
    assert {name: n for name, n in parts.items() if n} == {"gears": "2 of 3"}
    outside = {label_of(name) for name in OUTSIDE_STRATA}
    assert {c.label for c in page.strata.columns if not c.ranks} == outside
    assert label_of("made_up") == "made up"


def test_the_signal_of_units_is_counted_and_sorted() -> None:
    found = build_signal(constants())
    assert found is not None
    assert (found.responders, found.weak, found.noise, found.n) == (12, 2, 3, 17)
    assert found.rows[0] == ("P00", ".95", "responds, ranks", ".05")
    assert found.rows[-1][2] == "no signal, not ranked"
    assert build_signal({"classes": ["A"]}) is None
    ranges = {**constants(), "novelty": {"0": {"P00": 0.1}, "1": {"P00": 0.3}}}
    twice = build_signal(ranges)
    assert twice is not None
    assert [row[3] for row in twice.rows[:2]] == [".10 to .30", "unknown"]


def test_an_adversary_that_wins_costs_the_metric_its_rank_and_is_shown(
    page: BoardPage, html: str
) -> None:
    states = {trust.name: trust.state for trust in page.trust}
    assert states == {
        "nwmse": "ranks", "pearson_delta_reference": "ranks", "pds": "not trusted",
        "pearson_delta": "gamed",
    }  # fmt: skip
    gamed = next(trust for trust in page.trust if trust.name == "pearson_delta")
    assert "rescaler" in gamed.reason
    assert page.duels.gamed == ("Pearson delta",)
    cells = {name: cells for name, _, cells in page.duels.rows}
    at = page.duels.metrics.index("Pearson delta")
    assert cells["rescaler"][at].beats
    assert cells["rescaler"][at].value == text.measure(responders_mean("rescaler", "pearson_delta"))
    assert cells["rescaler"][at].baseline == "training-mean"
    assert not any(cell.beats for cell in cells["constant"])
    assert "Pearson delta can be gamed here and loses its rank." in html
    assert "beats it" in html


def test_where_no_adversary_wins_the_page_says_so_with_the_number_of_duels() -> None:
    found = build_board(screen_site(gamed=False), K562.id)
    assert found.duels.gamed == ()
    assert found.duels.n_held == found.duels.n_duels == 2 * len(RANKED)
    pages = build_pages(screen_site(gamed=False))
    assert "No adversary beats the best simple baseline" in pages[f"boards/{K562.id}.html"]
    assert "beats it" not in pages[f"boards/{K562.id}.html"]
    assert 'check fail"' not in pages["trust.html"].partition("What the words mean")[0]


def test_a_metric_that_is_untrusted_and_gamed_says_both() -> None:
    item = screen_evidence()
    frozen = json.loads(json.dumps(item.constants))
    frozen["metrics"]["pearson_delta"].update(trusted=False, reason="few responders")
    data = screen_site()
    changed = {**data.standings, K562.id: build_standings(replace(item, constants=frozen), None)}
    page = build_board(replace(data, standings=changed), K562.id)
    found = next(trust for trust in page.trust if trust.name == "pearson_delta")
    assert (found.state, found.reason) == (
        "not trusted",
        "few responders; also gamed here by rescaler",
    )


@pytest.mark.parametrize(
    ("changes", "state"),
    [
        ({}, "ranks"),
        ({"ranks": False}, "trusted"),
        ({"ranks": False, "saturated": True, "reason": "saturated"}, "saturated"),
        ({"ranks": False, "duels": [{"beats": False}, {"beats": True}], "reason": "g"}, "gamed"),
        ({"ranks": False, "trusted": False, "saturated": True, "reason": "r"}, "not trusted"),
        ({"ranks": False, "reason": "another reason"}, "not trusted"),
    ],
)
def test_the_state_of_a_metric(changes: Mapping[str, Any], state: str) -> None:
    sound = {"trusted": True, "saturated": False, "duels": [], "ranks": True, "reason": ""}
    assert state_of({**sound, **changes}) == state


def test_a_declared_reason_comes_first_and_its_metrics_stay_trusted(data: SiteData) -> None:
    page = build_board(data, DECLARED.id)
    assert page.title == "Perturbation prediction, unseen perturbations (other lines)"
    assert page.finding.head == "Nothing is ranked here: declared negative control: no signal."
    assert {trust.state for trust in page.trust} == {"trusted", "not trusted", "gamed"}
    assert page.n_ranking == 0


def test_the_metric_that_sorts_says_which_were_passed_over() -> None:
    item = screen_evidence()
    frozen = json.loads(json.dumps(item.constants))
    frozen["metrics"]["nwmse"].update(trusted=False, reason="few responders")
    data = screen_site()
    found = build_standings(replace(item, constants=frozen), None)
    changed = replace(data, standings={**data.standings, K562.id: found})
    page = build_board(changed, K562.id)
    assert page.sorted_by == "pearson_delta_reference"
    assert [trust.name for trust in page.passed_over] == ["nwmse", "pds"]
    html = build_pages(changed)[f"boards/{K562.id}.html"]
    assert "passed over: Normalised weighted MSE (not trusted); Perturbation" in html
    assert build_board(data, K562.id).passed_over == ()


def test_a_board_without_responders_has_no_empty_tables_and_calls_nobody_not_run() -> None:
    item = screen_evidence(DECLARED)
    silent = {**item.constants, "responders": [], "noise": [*UNITS, *OUTSIDE["noise"]]}
    data = screen_site()
    found = build_standings(replace(item, constants=silent), None)
    changed = replace(data, standings={**data.standings, DECLARED.id: found})
    html = build_pages(changed)[f"boards/{DECLARED.id}.html"]
    assert '<table class="standings' not in html
    assert "No entry has a value: no unit of this board ranks." in html
    assert "<b>0 of 17 perturbations respond and rank</b>" in html
    main = html.partition("Who is not here")[0]
    assert "not run" not in main


def test_the_overview_counts_real_boards_by_state(data: SiteData) -> None:
    html = build_pages(data)["trust.html"]
    summary = html.partition('<ul class="stat">')[2].partition("</ul>")[0]
    # two boards of the screen and one real annotation board; simulated boards are not counted
    counts = {"ranks": 3, "trusted": 2, "not trusted": 2, "gamed": 2}
    for state, n in counts.items():
        assert f"<b>{n}</b>" in next(i for i in summary.split("<li>") if f"</svg>{state}<" in i)
    rows = [part for part in html.split("<tr>") if 'scope="row"' in part]
    assert [("screen, " in row) for row in rows].count(True) == 2
    assert "declared negative control: no signal." in html
    assert "12 of 17 perturbations respond" in html
    assert "no results in this build" in html
    assert "random-donor" not in html


def test_panels_are_the_golden_ones(page: BoardPage, golden: Callable[[str, str], None]) -> None:
    owners = {name: name for name in KINDS}
    parts = [
        render_fragment("panels.html", "strata", page.strata, page, owners, "../"),
        render_fragment("panels.html", "signal", page.signal, page),
        render_fragment("panels.html", "trust", page.trust),
        render_fragment("panels.html", "duels", page.duels, owners, "../"),
        render_fragment("panels.html", "compact", page.also, "l", "c", owners, "../"),
    ]
    lines = [line for part in parts for line in part.splitlines() if line.strip()]
    golden("panels.html", "\n".join(lines) + "\n")


def test_hostile_text_in_the_new_panels_renders_inert(data: SiteData) -> None:
    found = json.loads(json.dumps(data.standings[K562.id]).replace('"P00"', json.dumps(HOSTILE)))
    for row in found["rows"]:
        row.update(name=HOSTILE, reason=HOSTILE)
        for cell in row["metrics"].values():
            cell["reason"] = HOSTILE
    for metric in found["metrics"].values():
        metric["reason"] = HOSTILE
        for duel in metric["duels"]:
            duel["baseline"] = HOSTILE
    found["reasons"] = [HOSTILE]
    found["ranked"] = False
    pages = build_pages(replace(data, standings={**data.standings, K562.id: found}))
    for path, reader in html_of(pages).items():
        assert HOSTILE not in pages[path], path
        for tag, attributes in reader.tags:
            assert tag not in {"script", "img"}, path
            assert not [name for name in attributes if name.startswith("on")], path
    assert "&lt;script&gt;" in pages[f"boards/{K562.id}.html"]
    assert "&lt;script&gt;" in pages["trust.html"]


def test_a_release_of_25_boards_and_20_entries_stays_light() -> None:
    """Sizes after gzip, as a server sends them."""
    names = [f"model-with-a-long-name-{k}" for k in range(20 - len(LEVELS))]
    levels = {**LEVELS, **{name: 0.5 + 0.02 * k for k, name in enumerate(names)}}
    boards = [
        Board(dataset="sim", task=ANNOTATION, split="donor", unit="donor_id", variant=f"v{k}")
        for k in range(25)
    ]
    data = screen_site()
    full = replace(
        data,
        boards=boards,
        standings={b.id: build_standings(evidence(b, levels=levels), None) for b in boards},
        datasets={**data.datasets, "sim": dataset("sim")},
        entries={name: entry(name) for name in levels},
    )
    sizes = {
        path: len(gzip.compress(body.encode()))
        for path, body in build_pages(full).items()
        if path.endswith(".html")
    }
    assert sizes["index.html"] > 2_000
    assert max(sizes.values()) < MAX_COMPRESSED


def test_every_score_row_of_the_screen_is_used_once() -> None:
    """The fixture itself: 7 metrics, 8 entries, 17 units."""
    scores: pd.DataFrame = score_rows(K562)
    assert len(scores) == len(KINDS) * len((*RANKED, *SHOWN)) * 17
    assert not scores.duplicated(["entry", "metric", "unit"]).any()
    assert set(metric_texts()) == {*RANKED, *SHOWN}
