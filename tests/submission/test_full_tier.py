"""A run of the full tier on simulated data is shown beside what is recomputed, or refused."""

import gzip
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from leaderboard import layout
from leaderboard.config import Params, read_params
from leaderboard.errors import FreezeError, TableError
from leaderboard.inference.collect import ignored
from leaderboard.inference.standings import build_standings
from leaderboard.io import write_json, write_scores
from leaderboard.site.collect import collect as collect_site
from leaderboard.site.pages import build_pages
from leaderboard.spec import Board
from leaderboard.submission.entry import SIMULATED, read_entries
from tests.submission._tree import (
    COMMIT,
    DATASET,
    LEVELS,
    NET,
    UNITS,
    collected,
    make_tree,
    publish_all,
    table,
    write_lock,
    write_run,
)

FOLDER = layout.RESULTS / DATASET
SCORES = FOLDER / f"{NET}.csv.gz"
RECORD = FOLDER / f"{NET}.json"


@pytest.fixture
def board(in_folder: Path) -> Board:
    return make_tree(in_folder)


@pytest.fixture
def published(board: Board, monkeypatch: pytest.MonkeyPatch) -> Board:
    publish_all(monkeypatch)
    return board


def change_record(**changes: Any) -> None:
    write_json(RECORD, json.loads(RECORD.read_text(encoding="utf-8")) | changes)


def change_board(board: Board, **changes: Any) -> None:
    boards = json.loads(RECORD.read_text(encoding="utf-8"))["boards"]
    change_record(boards={board.id: boards[board.id] | changes})


def publish_again(scores: pd.DataFrame, monkeypatch: pytest.MonkeyPatch) -> None:
    """Publish other scores, as if another truth or another protocol had been scored."""
    write_scores(layout.scores(f"full/{SIMULATED}", DATASET, NET), scores)
    publish_all(monkeypatch)


def test_a_committed_result_is_ranked_beside_recomputed_ones_and_each_row_says_which_it_is(
    published: Board,
) -> None:
    evidence = collected()[published.id]
    standings = build_standings(evidence, None)
    rows = {row["entry"]: row for row in standings["rows"]}
    assert {name: row["source"] for name, row in rows.items()} == {
        NET: "committed", "majority": "recomputed", "logistic-regression": "recomputed",
        "constant": "recomputed",
    }  # fmt: skip
    assert standings["board"]["source"] == "recomputed"
    cells = {name: rows[name]["metrics"]["macro_f1"] for name in LEVELS}
    assert {n: c["value"] for n, c in cells.items()} == pytest.approx(LEVELS)
    assert cells[NET]["rank_low"] == cells[NET]["rank_high"] == 1
    assert cells["majority"]["rank_low"] == 3
    assert (rows[NET]["tier"], rows[NET]["kind"]) == ("full", "model")
    assert set(evidence.failures["entry"]) >= {NET, "majority"}
    assert evidence.entries[NET].release == read_params().release


def test_a_run_that_was_not_published_moves_nothing(board: Board) -> None:
    assert layout.scores(f"full/{SIMULATED}", DATASET, NET).is_file()
    assert NET not in collected()[board.id].entries


def test_committed_results_alone_make_no_simulated_board(published: Board) -> None:
    assert published.id in collected()
    for path in (layout.DATA / "scores" / SIMULATED / DATASET).iterdir():
        path.unlink()
    assert collected() == {}


def test_pages_tell_the_committed_row_from_the_recomputed_ones_and_show_its_cost(
    published: Board,
) -> None:
    standings = build_standings(collected()[published.id], None)
    write_json(layout.STANDINGS / f"{published.id}.json", standings)
    (layout.DATA / "resources.yaml").write_text("resources: {}\n", encoding="utf-8")
    entries = {n: e.model_dump(mode="json", by_alias=True) for n, e in read_entries().items()}
    pages = build_pages(collect_site(read_params(), entries))
    page = pages[f"boards/{published.id}.html"]
    assert "recomputed by this build but for 1 entry" in page
    assert "Every score here was computed" not in page
    assert page.count('<span class="iv">committed</span>') == 1
    assert page.count('<span class="iv">recomputed</span>') == 2
    assert "recomputed by this build but for 1 entry" in pages[f"datasets/{DATASET}.html"]
    assert "simulated, part committed" in pages["index.html"]
    own, other = (pages[f"entries/{name}.html"] for name in (NET, "majority"))
    assert "Simulated data, from committed results" in own
    assert "recomputed by this build" not in own
    for fact in ("60\N{NO-BREAK SPACE}min", "2.0\N{NO-BREAK SPACE}GB", "cuda", f'"{COMMIT}"'):
        assert fact in own, fact
    assert "Simulated data, recomputed by this build" in other
    assert "committed results" not in other


def test_an_edited_table_is_refused_by_the_digest_of_its_text(published: Board) -> None:
    assert published.id in collected()
    packed = SCORES.read_bytes()
    text = gzip.decompress(packed)
    SCORES.write_bytes(gzip.compress(text, compresslevel=1, mtime=0))
    assert SCORES.read_bytes() != packed
    assert NET in collected()[published.id].entries, "compressed otherwise, the text is the same"
    SCORES.write_bytes(gzip.compress(text.replace(b"0.9", b"1.0", 1)))
    with pytest.raises(TableError, match=r"net\.csv\.gz: expected SHA-256 .* got .* not the one"):
        collected()
    SCORES.write_bytes(packed[: len(packed) // 2])
    with pytest.raises(TableError, match=r"net\.csv\.gz: cannot be read"):
        collected()


def test_an_edited_failure_table_is_refused(published: Board) -> None:
    assert published.id in collected()
    path = FOLDER / f"{NET}.failures.csv.gz"
    text = gzip.decompress(path.read_bytes())
    path.write_bytes(gzip.compress(text.replace(b",7,20", b",0,20", 1)))
    with pytest.raises(TableError, match=r"net\.failures\.csv\.gz: expected SHA-256"):
        collected()


def test_another_split_is_refused(published: Board) -> None:
    change_board(published, split_sha256="0" * 64)
    told = rf"{published.id} was scored on another split .* expected 5+, got 0+\. Run `make full`"
    with pytest.raises(TableError, match=told):
        collected()


def test_scores_with_other_constants_than_the_frozen_ones_are_refused(published: Board) -> None:
    write_lock(published, floor=0.15)
    with pytest.raises(TableError, match=r"scored with other constants than data/boards\.lock"):
        collected()


def test_a_truth_that_moves_a_recomputed_constant_stops_rank(published: Board) -> None:
    path = layout.constants(SIMULATED, DATASET)
    constants = json.loads(path.read_text(encoding="utf-8"))
    constants[published.id]["metrics"]["macro_f1"]["floor"] *= 1.0001
    write_json(path, constants)
    with pytest.raises(FreezeError, match=r"macro_f1\.floor"):
        collected()


def test_a_metric_frozen_later_leaves_a_committed_result_valid(published: Board) -> None:
    for path in (layout.board_lock(DATASET), layout.constants(SIMULATED, DATASET)):
        boards = json.loads(path.read_text(encoding="utf-8"))
        boards[published.id]["metrics"]["accuracy"] = {"floor": 0.5}
        write_json(path, boards)
    assert NET in collected()[published.id].entries


@pytest.mark.parametrize("missing", ["digest", "constants"])
def test_a_result_that_nothing_ties_to_the_truth_is_refused(published: Board, missing: str) -> None:
    if missing == "digest":
        boards = json.loads(RECORD.read_text(encoding="utf-8"))["boards"]
        boards[published.id].pop("constants_sha256")
        change_record(boards=boards)
    else:
        layout.constants(SIMULATED, DATASET).unlink()
    with pytest.raises(TableError, match="nothing ties it to the truth"):
        collected()


def test_other_units_than_the_recomputed_ones_are_refused(
    published: Board, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = table(published, NET, 0.9)
    publish_again(whole.iloc[:-1], monkeypatch)
    with pytest.raises(TableError, match=r"other units .* 1 rows .*'unit': 'D7'"):
        collected()
    publish_again(table(published, NET, 0.9, n=99), monkeypatch)
    with pytest.raises(TableError, match=rf"{2 * len(UNITS)} rows are in one of the two only"):
        collected()
    publish_again(whole.assign(seed=1), monkeypatch)
    with pytest.raises(TableError, match="was scored on other units than this build has"):
        collected()
    publish_again(whole, monkeypatch)
    assert NET in collected()[published.id].entries


def test_a_failed_run_is_shown_as_failed(published: Board, monkeypatch: pytest.MonkeyPatch) -> None:
    no_value: dict[str, Any] = {
        "fold": -1,
        "value": float("nan"),
        "status": "failed",
        "reason": "memory",
    }
    failed = table(published, NET, 0.9, n=500).assign(**no_value)
    publish_again(failed, monkeypatch)
    rows = build_standings(collected()[published.id], None)["rows"]
    assert next(row["status"] for row in rows if row["entry"] == NET) == "failed"


def test_a_record_that_names_other_boards_than_its_table_is_refused(published: Board) -> None:
    boards = json.loads(RECORD.read_text(encoding="utf-8"))["boards"]
    change_record(boards=boards | {"sim_atlas-gone": boards[published.id]})
    told = r"expected the boards .*sim_atlas-cell.*got \['sim_atlas-gone'\]\. Run `make full`"
    with pytest.raises(TableError, match=told):
        collected()
    batch = "sim_atlas-cell_type_annotation-batch"
    params = with_batch_board(keep=True)
    change_record(boards={**boards, batch: boards[published.id]})
    with pytest.raises(TableError, match=rf"expected the boards .*{batch}.* got \['{published.id}"):
        collected(params)


def test_a_result_on_a_board_that_the_tree_does_not_have_any_more_is_refused(
    published: Board,
) -> None:
    told = rf"expected the boards some of \['sim_atlas.*batch'\], got \['{published.id}'\]"
    with pytest.raises(TableError, match=told):
        collected(with_batch_board(keep=False))


def with_batch_board(*, keep: bool) -> Params:
    """Return the parameters of the tree with a second board, or with that alone."""
    params = read_params()
    line = params.boards[DATASET][0]
    batch = replace(line, split="batch", unit="batch")
    boards = {DATASET: [line, batch] if keep else [batch]}
    return params.model_copy(update={"boards": boards})


def test_committed_scores_of_the_default_tier_are_refused(published: Board) -> None:
    assert published.id in collected()
    change_record(tier="default")
    with pytest.raises(TableError, match=r"tier 'default' is recomputed .* Delete its files from"):
        collected()


def test_an_entry_with_recomputed_and_committed_scores_is_refused(published: Board) -> None:
    write_run(NET, SIMULATED, table(published, NET, 0.3))
    with pytest.raises(TableError, match=rf"has scores of {NET} under data/scores too"):
        collected()


def test_a_table_that_is_there_twice_is_refused(published: Board) -> None:
    assert published.id in collected()
    (FOLDER / f"{NET}.csv").write_bytes(gzip.decompress(SCORES.read_bytes()))
    with pytest.raises(TableError, match=r"net\.csv\.gz: net\.csv is there too"):
        collected()


def test_results_of_an_entry_that_left_the_tree_are_named_and_count_nothing(
    published: Board,
) -> None:
    (layout.ENTRIES / NET / "entry.yaml").unlink()
    (layout.ENTRIES / NET).rmdir()
    assert NET not in collected()[published.id].entries
    assert ignored(["majority", "logistic-regression", "controls"]) == [SCORES.as_posix()]
