"""Committed results belong together, and edited ones stop the pipeline."""

import json
import shutil
from pathlib import Path

import pytest

from leaderboard.config import read_board_locks, read_datasets, read_params
from leaderboard.errors import FreezeError, TableError
from leaderboard.inference.collect import collect, ignored
from leaderboard.inference.standings import build_standings

ROOT = Path(__file__).parents[1]
KANG = "kang_ctrl-cell_type_annotation-donor"


@pytest.fixture
def results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give a folder with the committed results and nothing that a pipeline wrote."""
    shutil.copytree(ROOT / "leaderboard/results", tmp_path / "leaderboard/results")
    (tmp_path / "data").mkdir()
    for name in ("params.yaml", "data/datasets.yaml", "data/splits.lock.json"):
        shutil.copy2(ROOT / name, tmp_path / name)
    shutil.copytree(ROOT / "data/boards.lock", tmp_path / "data/boards.lock")
    monkeypatch.chdir(tmp_path)
    return tmp_path / "leaderboard/results"


def _collect(known: list[str] | None = None) -> dict[str, object]:
    entries = known or [p.name for p in (ROOT / "leaderboard/entries").iterdir() if p.is_dir()]
    found = collect(read_params(), read_board_locks(), entries)
    return {item.board.id: item for item in found}


def test_the_committed_results_hold_every_real_board_and_every_entry(results: Path) -> None:
    assert results.is_dir()
    boards = _collect()
    real = read_datasets(ROOT / "data/datasets.yaml")["public_small"]
    assert set(boards) == {i for i, b in read_params().all_boards().items() if b.dataset in real}
    kang = build_standings(boards[KANG], None)  # type: ignore[arg-type]
    assert kang["board"]["source"] == "committed"
    records = (results / "kang_ctrl").glob("[a-z]*.json")
    entries = {p.stem for p in records if KANG in json.loads(p.read_text()).get("boards", {})}
    controls = {"shuffled", "constant", "depth_only", "nan_filler"}
    assert {"logistic-regression", "majority", "knn"} <= entries
    assert {row["entry"] for row in kang["rows"]} == controls | {
        name for name in entries if not name.startswith("controls")
    }


def test_every_provenance_names_a_commit_without_local_changes(results: Path) -> None:
    records = [
        p for p in results.glob("*/*.json") if p.name[0] != "_" and "constants" not in p.name
    ]
    assert records
    for path in records:
        commit = json.loads(path.read_text(encoding="utf-8"))["code_commit"]
        assert len(commit) == 40, path
        assert not commit.endswith("+"), path


def test_an_edited_score_table_is_refused(results: Path) -> None:
    path = results / "kang_ctrl/majority.csv"
    path.write_text(path.read_text(encoding="utf-8").replace("0.3", "0.9", 1), encoding="utf-8")
    with pytest.raises(TableError, match="not the one that was published"):
        _collect()


def test_results_of_another_split_are_refused(results: Path) -> None:
    path = results / "kang_ctrl/majority.json"
    record = json.loads(path.read_text(encoding="utf-8"))
    record["boards"][KANG]["split_sha256"] = "0" * 64
    path.write_text(json.dumps(record), encoding="utf-8")
    with pytest.raises(TableError, match="another split than"):
        _collect()


def test_constants_that_differ_from_the_frozen_ones_are_refused(results: Path) -> None:
    path = results / "kang_ctrl/controls.constants.json"
    constants = json.loads(path.read_text(encoding="utf-8"))
    constants[KANG]["metrics"]["macro_f1"]["floor"] *= 1.001
    path.write_text(json.dumps(constants), encoding="utf-8")
    with pytest.raises(FreezeError, match=r"macro_f1\.floor"):
        _collect()


def test_results_of_an_entry_that_left_the_tree_are_ignored_and_named(results: Path) -> None:
    assert results.is_dir()
    kept = ["controls", "logistic-regression"]
    assert "majority" not in _collect(kept)[KANG].entries  # type: ignore[attr-defined]
    assert "leaderboard/results/kang_ctrl/majority.csv" in ignored(kept)
