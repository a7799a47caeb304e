import json
import re
import shutil
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path, PurePosixPath
from posixpath import normpath
from typing import Any

import numpy as np
import pandas as pd
import pytest

from leaderboard.config import Params
from leaderboard.errors import ConfigError
from leaderboard.inference.standings import build_standings
from leaderboard.io import FAILURE_COLUMNS, write_failures, write_json
from leaderboard.site import text
from leaderboard.site.boards import build_board
from leaderboard.site.collect import collect
from leaderboard.site.datasets import cramers_v
from leaderboard.site.failures import build_failures
from leaderboard.site.pages import (
    build_pages,
    is_https,
    render_fragment,
    static_files,
)
from leaderboard.site.records import (
    SiteData,
)
from leaderboard.site.tables import build_table
from leaderboard.spec import Board
from stages.render import main as render
from tests.site_data import (
    ANNOTATION,
    HOSTILE,
    LEVELS,
    PERTURBATION,
    entry,
    evidence,
    facts,
    failure,
    html_of,
    site,
)
from tests.site_screen import screen_site

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def data() -> SiteData:
    return site()


@pytest.fixture(scope="module")
def pages(data: SiteData) -> dict[str, str]:
    return build_pages(data)


@pytest.fixture(scope="module", params=["small", "screen"])
def whole(request: pytest.FixtureRequest, pages: dict[str, str]) -> dict[str, str]:
    """Pages of both synthetic sites."""
    return pages if request.param == "small" else build_pages(screen_site())


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        (text.number(0.8791), ".879"),
        (text.number(-0.0121), "\N{MINUS SIGN}.012"),
        (text.number(-0.0001), ".000"),
        (text.number(1.0), "1.000"),
        (text.signed(0.0481), "+.048"),
        (text.signed(0.0), ".000"),
        (text.error_ratio(0.0), "1.000"),
        (text.error_ratio(-4.5913), ".010"),
        (text.error_ratio(-7.0), ".00091"),
        (text.error_ratio(-800.0), ".000"),
        (text.error_ratio(5000.0), "1.01e+304"),
        (text.fold_change(0.1133), "\N{MULTIPLICATION SIGN}1.12"),
        (text.fold_change(-0.1), "\N{MULTIPLICATION SIGN}.90"),
        (text.fold_change(4.0868), "\N{MULTIPLICATION SIGN}59.5"),
        (text.p_value(1e-9), "p < .001"),
        (text.p_value(0.0693), "p = .069"),
        (text.p_value(1.0), "p > .999"),
        (text.percent(0.999), "> 99\N{NO-BREAK SPACE}%"),
        (text.percent(0.001), "< 1\N{NO-BREAK SPACE}%"),
        (text.percent(1.0), "100\N{NO-BREAK SPACE}%"),
        (text.count(12261), "12,261"),
        (text.duration(26.89), "27\N{NO-BREAK SPACE}s"),
        (text.duration(0.2), "< 1\N{NO-BREAK SPACE}s"),
        (text.memory(31000), "31.0\N{NO-BREAK SPACE}GB"),
        (text.digest("3a77d0" + "b" * 56 + "1e"), "3a77d0\N{HORIZONTAL ELLIPSIS}1e"),
        (text.listing(["A", "B", "C"]), "A, B and C"),
        (text.listing(list("ABCDEFGH"), 3), "A, B and 6 more"),
        (text.unit_word("donor_id", 1), "donor"),
        (text.held_out("random-donor"), "cells dealt at random (twin of unseen donors)"),
        (text.held_out("perturbation-k562"), "unseen perturbations (K562)"),
        (text.held_out("combination-k562"), "unseen combinations (K562)"),
        (
            text.held_out("random-perturbation-k562"),
            "cells dealt at random (twin of unseen perturbations, K562)",
        ),
        (text.held_out("perturbation-no_signal"), "unseen perturbations (no signal)"),
        (text.held_out("context"), "unseen contexts"),
        (text.held_out("tissue"), "unseen tissues"),
        (text.held_out("time"), "unseen time points"),
        (text.measure(0.00123), ".0012"),
        (text.measure(-0.0341), "\N{MINUS SIGN}.034"),
        (text.measure(0.9), ".900"),
        (text.measure(41.26), "41.3"),
        (text.measure(20000.0), "20,000"),
        (text.measure(2e-7), "2.0e\N{MINUS SIGN}07"),
        (text.measure(-3e7), "\N{MINUS SIGN}3.0e+07"),
        (text.measure(1e-16), ".000"),
    ],
)
def test_numbers_and_words_are_written_one_way(written: str, expected: str) -> None:
    assert written == expected


def test_standings_table_is_the_golden_one(
    data: SiteData, golden: Callable[[str, str], None]
) -> None:
    page = build_board(data, data.boards[0].id)
    owners = {name: name for name in LEVELS} | {"oracle": "controls"}
    html = render_fragment("tables.html", "standings", page.tables[0], page, owners, "../")
    golden("standings.html", re.sub(r"\n\s*\n+", "\n", html))


def test_every_internal_link_resolves(whole: dict[str, str]) -> None:
    readers = html_of(whole)
    there = {*whole, *static_files()}
    for path, reader in readers.items():
        for _, attributes in reader.tags:
            link = attributes.get("href", attributes.get("src", ""))
            if not link or link.startswith("https://"):
                continue
            target, _, fragment = link.partition("#")
            full = normpath(str(PurePosixPath(path).parent / target)) if target else path
            assert full in there, f"{path} links to {link}"
            assert not fragment or fragment in readers[full].ids, f"{path} links to {link}"


def test_no_page_repeats_an_id(whole: dict[str, str]) -> None:
    for path, reader in html_of(whole).items():
        assert len(set(reader.ids)) == len(reader.ids), path


def test_pages_load_nothing_from_elsewhere_and_carry_no_inline_code(whole: dict[str, str]) -> None:
    for path, reader in html_of(whole).items():
        for tag, attributes in reader.tags:
            assert tag not in {"script", "img", "iframe", "style", "form", "object"}, path
            assert "style" not in attributes, path
            assert not [name for name in attributes if name.startswith("on")], path
            if tag != "a":
                assert "//" not in attributes.get("href", "") + attributes.get("src", ""), path
        assert "default-src 'none'" in whole[path]
    for body in static_files().values():
        assert "//" not in body
        assert "@import" not in body


def test_hostile_names_render_inert() -> None:
    pages = build_pages(site(hostile=True))
    for path, reader in html_of(pages).items():
        for tag, attributes in reader.tags:
            assert tag not in {"script", "img"}, path
            assert not [name for name in attributes if name.startswith("on")], path
            assert "javascript:" not in attributes.get("href", ""), path
        assert HOSTILE not in pages[path]
    assert "&lt;script&gt;" in pages["entries/net.html"]


@pytest.mark.parametrize(
    "url",
    ["javascript:alert(1)", "http://x.org/", "data:text/html,x", "https://x y", 'https://x"y', 3],
)
def test_only_https_links_become_anchors(url: object) -> None:
    assert not is_https(url)
    assert is_https("https://doi.org/10.1000/x.1")
    assert "href" not in render_fragment("marks.html", "link", url, "label")


def test_a_name_that_is_no_safe_path_is_refused(data: SiteData) -> None:
    with pytest.raises(ConfigError, match="cannot be a page's name"):
        build_pages(replace(data, entries={"../up": entry("net")}))


def test_both_sources_are_marked_on_every_page_of_a_board(pages: dict[str, str]) -> None:
    made = pages[f"boards/sim-{ANNOTATION}-donor.html"]
    read = pages[f"boards/real-{ANNOTATION}-donor.html"]
    assert "Simulated data, recomputed by this build" in made
    assert "committed" not in made
    assert "Real data, from committed results" in read
    assert "recomputed by this build" not in read
    assert "simulated, recomputed" in pages["index.html"]
    assert "real, committed" in pages["index.html"]
    assert "Real data, from committed results" in pages["datasets/real.html"]


def test_a_board_says_who_may_lead_and_who_beats_every_baseline(pages: dict[str, str]) -> None:
    page = pages[f"boards/sim-{ANNOTATION}-donor.html"]
    assert "net alone can be first." in page
    assert "The one model here is shown to beat every simple baseline." in page
    assert "A note." in page
    assert "ab" * 32 in page


def test_random_boards_rank_nothing_and_stand_on_the_front_as_inflation_only(
    data: SiteData, pages: dict[str, str]
) -> None:
    name = f"sim-{ANNOTATION}-random-donor"
    page = pages[f"boards/{name}.html"]
    assert "Nothing is ranked here" in page
    assert 'class="rank"' not in page
    assert 'class="verdict yes"' not in page.partition("<table")[2]
    table = build_board(data, name).tables[0]
    assert {row.rank for row in table.rows} == {None}
    front = html_of(pages)["index.html"].tags
    assert [a["href"] for t, a in front if t == "a" and name in a.get("href", "")] == [
        f"boards/{name}.html"
    ]
    assert f'<td class="n"><a href="boards/{name}.html">' in pages["index.html"]


def test_failed_undefined_and_not_run_are_words_and_never_zero() -> None:
    board = Board(dataset="sim", task=ANNOTATION, split="donor", unit="donor_id")
    scored = evidence(board, levels={**LEVELS, "lost": 0.5, "void": 0.5})
    scores = scored.scores
    lost, void = scores["entry"] == "lost", scores["entry"] == "void"
    scores.loc[lost | void, "value"] = np.nan
    scores.loc[lost, ["status", "reason"]] = ["failed", "ran out of ideas"]
    scores.loc[void, ["status", "reason"]] = ["undefined", "constant prediction"]
    table = build_table(build_standings(scored, None), "macro_f1")
    rows_by_name = {row.entry: row for row in table.rows}
    assert rows_by_name["void"].score == ""
    assert rows_by_name["void"].words == "undefined: constant prediction"
    assert rows_by_name["lost"].verdict == "failed"
    assert "ran out of ideas" in rows_by_name["lost"].words
    assert {rows_by_name[k].group for k in ("lost", "void")} == {"apart"}
    assert {rows_by_name[k].rank for k in ("lost", "void")} == {None}


def test_log_metrics_are_shown_as_exp_and_their_differences_as_factors() -> None:
    board = Board(
        dataset="screen", task=PERTURBATION, split="perturbation", unit="perturbation",
        context="cell_type",
    )  # fmt: skip
    levels = {"control-mean": 0.0, "training-mean": -0.1, "net": -1.0}
    standings = build_standings(evidence(board, metric="nwmse", levels=levels), None)
    table = build_table(standings, "nwmse")
    net = next(row for row in table.rows if row.entry == "net")
    assert table.is_log
    assert (table.scale.floor, table.scale.ceiling) == ("1.000", ".018")
    assert net.score == text.error_ratio(float(np.mean(_values(standings, "net"))))
    assert net.hardest is not None
    assert net.hardest.value.startswith(text.TIMES)
    assert net.verdict == "yes"


def _values(standings: Mapping[str, Any], name: str) -> list[float]:
    row = next(row for row in standings["rows"] if row["entry"] == name)
    return list(row["metrics"]["nwmse"]["units"].values())


def test_entries_that_are_not_run_are_listed_as_such(pages: dict[str, str]) -> None:
    assert "entries/later.html" in pages["index.html"]
    assert "Not run" in pages["entries/later.html"]
    assert re.search(r"later</bdi></a>: not run", pages[f"boards/sim-{ANNOTATION}-donor.html"])


def test_an_entry_page_shows_failures_cost_and_provenance(pages: dict[str, str]) -> None:
    page = pages["entries/net.html"]
    assert "Largest confusions" in page
    assert "Confident errors" in page
    assert "90\N{NO-BREAK SPACE}s" in page
    assert "1.5\N{NO-BREAK SPACE}GB" in page
    assert "1" * 64 in page
    assert "not recorded" in page


def test_confusions_are_pooled_over_units() -> None:
    cells = [
        failure("confusion", "b", key="B", n=20),
        failure("confusion", "b", key="B", n=10, unit="D1"),
        failure("confusion", "b", key="A", n=70),
    ]
    first = build_failures(cells, [], []).confusions[0]
    assert (first.label, first.predicted, first.cells) == ("A", "B", "30")
    assert first.share == text.percent(0.3)


def test_seeds_add_no_cells_to_calibration_and_repeat_no_error() -> None:
    rows = [
        failure("calibration", "b", seed=seed, subject="0.9", key=key, value=value, n=40)
        for seed in (0, 1)
        for key, value in (("confidence", 0.95), ("accuracy", 0.5 + 0.2 * seed))
    ]
    rows += [failure("confident_error", "b", seed=seed, value=0.97) for seed in (0, 1)]
    found = build_failures(rows, [], [])
    assert found.calibration == ((".9\N{EN DASH}1.0", ".950", ".600", "40"),)
    assert len(found.confident) == 1


def test_the_hardest_units_show_true_and_predicted_shifts() -> None:
    genes = [
        failure("top_gene", "b", unit="U1", subject="G1", key=key, value=value, n=50)
        for key, value in (("true", -1.0), ("predicted", 0.25))
    ]
    found = build_failures(genes, [], [("U1", ".900"), ("U2", ".800")])
    assert [unit.unit for unit in found.hard_units] == ["U1"]
    assert found.hard_units[0].genes == (("G1", "\N{MINUS SIGN}1.00", "+.25"),)


def test_the_worst_regulators_show_their_false_and_their_missed_edges() -> None:
    rows = [
        failure(kind, "b", unit=unit, subject=unit, position=k, key=f"T{k}", value=1.5 - k, n=k + 1)
        for unit in ("R1", "R2")
        for kind in ("missed_edge", "false_edge")
        for k in range(2)
    ]
    found = build_failures(rows, [], [("R2", ".900"), ("R3", "1.000")])
    assert found.any
    (hard,) = found.regulators
    assert (hard.unit, hard.score) == ("R2", ".900")
    assert hard.edges[:2] == (
        ("not in the truth", "T0", "+1.500", "1"),
        ("not in the truth", "T1", "+.500", "2"),
    )
    assert [words for words, *_ in hard.edges[2:]] == ["true, ranked low"] * 2


def test_genes_on_the_wrong_side_are_listed_worst_first_by_kind() -> None:
    rows = [
        failure("gene_error", "b", unit="genes_1", subject=name, position=0, key=key, value=v, n=60)
        for name, key, v in (
            ("SOX9", "with", 0.4), ("PAX6", "with", 0.1), ("ZNF7", "without", 0.7),
            ("ZNF8", "without", 0.9),
        )
    ]  # fmt: skip
    found = build_failures(rows, [], [])
    assert found.any
    assert [(gene, truth) for gene, truth, *_ in found.genes] == [
        ("PAX6", "with the property"),
        ("SOX9", "with the property"),
        ("ZNF8", "without the property"),
        ("ZNF7", "without the property"),
    ]
    assert found.genes[0][2:] == (".10", "genes_1")


def test_a_broken_promise_and_confounding_are_on_the_dataset_page(data: SiteData) -> None:
    validation = json.loads(json.dumps(data.datasets["sim"].validation))
    validation["contracts"][0]["results"][0].update(
        success=False, unexpected_count=3, first_ids=["c7"]
    )
    changed = replace(data.datasets["sim"], validation=validation)
    page = build_pages(replace(data, datasets={**data.datasets, "sim": changed}))[
        "datasets/sim.html"
    ]
    assert "broken by 3; first: c7" in page
    assert "0 of 1" in page
    assert "Cramér’s V 1.00" in page  # noqa: RUF001
    assert "their effects cannot be told apart" in page


def test_cramers_v_is_zero_without_association_and_undefined_for_one_value() -> None:
    assert cramers_v([[5, 5], [5, 5]]) == 0.0
    assert cramers_v([[400, 0], [0, 600]]) == pytest.approx(1.0)
    assert cramers_v([[400, 0, 0], [0, 0, 600]]) == pytest.approx(1.0)
    assert cramers_v([[4], [6]]) is None


def test_the_standings_stand_beside_the_pages_as_json(
    data: SiteData, pages: dict[str, str]
) -> None:
    for name, standings in data.standings.items():
        assert json.loads(pages[f"api/v1/standings/{name}.json"]) == standings


def test_equal_records_give_equal_bytes_in_any_order(data: SiteData, pages: dict[str, str]) -> None:
    turned = replace(
        data,
        standings=dict(reversed(list(data.standings.items()))),
        entries=dict(reversed(list(data.entries.items()))),
    )
    again = build_pages(turned)
    board = f"boards/sim-{ANNOTATION}-donor.html"
    assert list(again) == list(pages)
    assert again[board] == pages[board]
    assert build_pages(data) == pages


def test_committed_results_are_read_from_their_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, data: SiteData
) -> None:
    monkeypatch.chdir(tmp_path)
    record = data.datasets["real"].record.model_dump(mode="json", exclude_defaults=True)
    suites = {"known_truth": {}, "public_small": {"real": record}, "public_large": {}}
    write_json(Path("data/datasets.yaml"), suites)
    write_json(Path("data/splits.lock.json"), {"real": {f"{ANNOTATION}-donor": "9" * 64}})
    name = f"real-{ANNOTATION}-donor"
    write_json(Path(f"data/standings/{name}.json"), data.standings[name])
    folder = Path("leaderboard/results/real")
    write_json(folder / "_dataset.json", {"validation": data.datasets["real"].validation,
                                          "audit": [], "release": "2026.1"})  # fmt: skip
    write_json(folder / "net.json", {
        "schema": 1, "entry": facts("net"), "code_commit": "e" * 40, "boards": {}, "run": {},
    })  # fmt: skip
    table = pd.DataFrame([failure("confusion", name)])[FAILURE_COLUMNS]
    write_failures(folder / "net.failures.csv", table)
    write_json(folder / "stranger.json", {})
    params = Params.model_validate({
        "release": "2026.1", "threads": 1, "seeds": [0], "tiers": {},
        "folds": {"seed": 1, "k": 2, "validation_fraction": 0.1},
        "boards": {"real": [{"task": ANNOTATION, "split": "donor", "unit": "donor_id"}]},
    })  # fmt: skip
    found = collect(params, {"net": facts("net")})
    assert [(r.entry, r.dataset, r.source) for r in found.results] == [("net", "real", "committed")]
    assert found.results[0].failures[0]["subject"] == "A"
    assert found.datasets["real"].digests == {f"{ANNOTATION}-donor": "9" * 64}
    assert "Real data, from committed results" in build_pages(found)[f"boards/{name}.html"]


def test_a_fresh_clone_without_any_result_still_renders(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "data").mkdir()
    for name in ("params.yaml", "data/datasets.yaml", "data/resources.yaml"):
        shutil.copy(ROOT / name, tmp_path / name)
    keep = shutil.ignore_patterns("dvc.*")
    shutil.copytree(ROOT / "leaderboard/entries", tmp_path / "leaderboard/entries", ignore=keep)
    monkeypatch.chdir(tmp_path)
    render()
    front = (tmp_path / "public/index.html").read_text(encoding="utf-8")
    assert "no results in this build" in front
    assert (tmp_path / "public/static/heldout.css").is_file()
    assert not list(tmp_path.glob(".public*"))
