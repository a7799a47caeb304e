"""The `heldout` command line: it teaches, and its errors are one line with exit code 1."""

import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from leaderboard.submission.cli import app

ROOT = Path(__file__).parents[1]


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give the hand-written files of the repository in a folder of its own."""
    shutil.copytree(ROOT / "leaderboard/entries", tmp_path / "leaderboard/entries")
    for name in ("models", "tasks"):
        shutil.copytree(ROOT / "leaderboard" / name, tmp_path / "leaderboard" / name)
    for name in ("profiles", "gene_sets"):
        shutil.copy2(ROOT / f"leaderboard/{name}.py", tmp_path / "leaderboard")
    (tmp_path / "data").mkdir()
    for name in ("params.yaml", "data/datasets.yaml", "data/resources.yaml"):
        shutil.copy2(ROOT / name, tmp_path / name)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_help_says_what_every_command_does() -> None:
    shown = CliRunner().invoke(app, ["--help"]).output
    for command in ("sync", "freeze", "scores", "recall", "publish"):
        assert command in shown
        alone = CliRunner().invoke(app, [command, "--help"])
        assert alone.exit_code == 0
        assert len(alone.output.split("Usage:")[1].split()) > 10, "says more than its usage"


def test_sync_writes_an_edited_pipeline_back_and_check_refuses_it(tree: Path) -> None:
    path = tree / "leaderboard/entries/majority/dvc.yaml"
    text = path.read_text(encoding="utf-8")
    path.write_text(text.replace("stages.predict", "stages.pwned"), encoding="utf-8")
    refused = CliRunner().invoke(app, ["sync", "--check"])
    assert refused.exit_code == 1
    assert "dvc.yaml of ['majority'] is not what its entry.yaml gives" in refused.output
    written = CliRunner().invoke(app, ["sync"])
    assert (written.exit_code, written.output) == (0, "Written: majority.\n")
    assert path.read_text(encoding="utf-8") == text
    assert CliRunner().invoke(app, ["sync", "--check"]).exit_code == 0


def test_a_dataset_without_a_key_under_boards_is_named(tree: Path) -> None:
    path = tree / "data/datasets.yaml"
    text = path.read_text(encoding="utf-8")
    path.write_text(text.replace("  sim_screen:", "  sim_other:"), encoding="utf-8")
    refused = CliRunner().invoke(app, ["sync"])
    assert refused.exit_code == 1
    assert "`boards` has no key for ['sim_other']" in refused.output


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["freeze"], "Name the datasets to freeze, or say --all."),
        (["freeze", "nowhere"], "has no dataset 'nowhere'"),
        (["scores", "known_truth"], "no score table"),
    ],
)
def test_a_wrong_call_is_one_line_and_exit_code_1(
    tree: Path, arguments: list[str], message: str
) -> None:
    assert tree.is_dir()
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 1
    assert done.output.startswith("ERROR ")
    assert message in done.output
    assert "Traceback" not in done.output


def test_recall_prints_a_cell_type_of_every_entry_and_says_what_there_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from leaderboard import layout
    from leaderboard.io import write_json

    monkeypatch.chdir(tmp_path)
    own = {
        "recall": 0.25, "low": 0.125, "high": 0.375, "reason": "", "found": 10.0, "cells": 40.0,
        "units": 6, "baseline": None, "difference": None,
        "confusions": [{"label": "T cell", "cells": 30.0}],
    }  # fmt: skip
    few = {**own, "recall": 0.5, "low": None, "high": None, "reason": "under 10 cells: counts only",
           "found": 2.0, "cells": 4.0, "confusions": []}  # fmt: skip
    record = {"board": "b", "labels": [{"label": "B cell", "entries": {"net": own, "knn": few}}]}
    write_json(layout.FAILURES / "b.json", record)
    shown = CliRunner().invoke(app, ["recall", "b", "B cell"])
    assert shown.exit_code == 0
    lines = {line.split()[1]: line for line in shown.output.splitlines() if "of" in line}
    assert "0.250" in lines["net"]
    assert "0.125 to 0.375" in lines["net"]
    assert "10 of 40" in lines["net"]
    assert "T cell (30 cells)" in lines["net"]
    assert "2 of 4" in lines["knn"]
    assert "counts only" in lines["knn"]
    unknown = CliRunner().invoke(app, ["recall", "other", "B cell"])
    assert unknown.exit_code == 1
    assert "no failures of this board. Known: b." in unknown.output
    missing = CliRunner().invoke(app, ["recall", "b", "NK"])
    assert missing.exit_code == 1
    assert "no cell type 'NK'. Known: B cell" in missing.output
