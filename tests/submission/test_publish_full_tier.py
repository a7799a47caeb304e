"""What is published of a run of the full tier on simulated data, and what reaches it."""

import gzip
import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from leaderboard import layout
from leaderboard.config import read_datasets
from leaderboard.errors import FreezeError, PublishError
from leaderboard.io import read_scores, write_json, write_scores
from leaderboard.spec import Board
from leaderboard.submission.entry import SIMULATED, read_entries
from tests.project import ROOT
from tests.submission._tree import (
    COMMIT,
    DATASET,
    NET,
    PREDICTION,
    collected,
    make_tree,
    publish_all,
    write_entry,
    write_full_run,
)

FOLDER = layout.RESULTS / DATASET
SCORES = FOLDER / f"{NET}.csv.gz"
RECORD = FOLDER / f"{NET}.json"


@pytest.fixture
def board(in_folder: Path) -> Board:
    return make_tree(in_folder)


def test_only_the_full_tier_is_published_of_simulated_data_and_its_pipelines_are_checked(
    board: Board, monkeypatch: pytest.MonkeyPatch
) -> None:
    said, asked = publish_all(monkeypatch)
    assert said == [f"{FOLDER}: {NET}"]
    assert sorted(p.name for p in FOLDER.iterdir()) == [
        f"{NET}.csv.gz", f"{NET}.failures.csv.gz", f"{NET}.json",
    ]  # fmt: skip
    assert asked[0].startswith("data/real/")
    assert asked[1:] == [
        f"leaderboard/entries/{NET}/dvc.yaml",
        f"leaderboard/entries/controls/dvc.yaml:score-{DATASET}",
    ]
    record = json.loads(RECORD.read_text(encoding="utf-8"))
    original = layout.scores(f"full/{SIMULATED}", DATASET, NET).read_bytes()
    assert gzip.decompress(SCORES.read_bytes()) == original
    digests = record["boards"][board.id]
    assert digests["scores_sha256"] == hashlib.sha256(original).hexdigest()
    assert digests["split_sha256"] == "5" * 64
    inner = hashlib.sha256(PREDICTION).hexdigest()
    line = f"fold-0-seed-0.parquet {inner}\n"
    assert digests["predictions_sha256"] == hashlib.sha256(line.encode()).hexdigest()
    assert (record["tier"], record["code_commit"]) == ("full", COMMIT)
    assert record["entry"]["name"] == "Net"


def test_publishing_twice_writes_the_same_bytes(
    board: Board, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert board.dataset == DATASET
    publish_all(monkeypatch)
    first = {p.name: p.read_bytes() for p in FOLDER.iterdir()}
    publish_all(monkeypatch)
    assert {p.name: p.read_bytes() for p in FOLDER.iterdir()} == first


def test_a_run_of_uncommitted_code_is_not_published(
    board: Board, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_full_run(board, commit=f"{COMMIT}+")
    with pytest.raises(PublishError, match=r"net on sim_atlas: predicted with uncommitted code"):
        publish_all(monkeypatch)
    assert not FOLDER.exists()


def test_a_run_scored_on_fewer_boards_than_the_entry_answers_is_not_published(
    board: Board, monkeypatch: pytest.MonkeyPatch
) -> None:
    scores = layout.scores(f"full/{SIMULATED}", DATASET, NET)
    other = read_scores(scores).assign(board="sim_atlas-cell_type_annotation-batch")
    write_scores(scores, other)
    with pytest.raises(PublishError, match=rf"expected the boards \['{board.id}'\], got"):
        publish_all(monkeypatch)


def test_a_full_run_is_not_published_beside_constants_that_differ_from_the_frozen_ones(
    board: Board, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = layout.constants(SIMULATED, DATASET)
    constants = json.loads(path.read_text(encoding="utf-8"))
    constants[board.id]["classes"] = ["A"]
    write_json(path, constants)
    with pytest.raises(FreezeError, match="classes"):
        publish_all(monkeypatch)
    assert not FOLDER.exists()


def test_an_entry_that_changed_its_tier_loses_its_full_run(
    board: Board, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_entry(NET, like="torch-mlp", tier="default")
    said, asked = publish_all(monkeypatch)
    assert said == []
    assert f"leaderboard/entries/{NET}/dvc.yaml" not in asked
    assert board.id in collected()


def default_run_reads(root_stages: list[dict[str, Any]], others: list[dict[str, Any]]) -> set[str]:
    """Return the commands that a run of the root pipeline reaches through files."""
    reached: set[str] = set()
    queue = list(root_stages)
    while queue:
        needed = set(map(_path, queue.pop().get("deps", [])))
        for stage in others:
            made = set(map(_path, stage["outs"]))
            if stage["cmd"] not in reached and any(_overlap(a, b) for a in needed for b in made):
                reached.add(stage["cmd"])
                queue.append(stage)
    return reached


def _path(item: Any) -> str:
    return str(next(iter(item)) if isinstance(item, dict) else item)


def _overlap(one: str, other: str) -> bool:
    return f"{one}/".startswith(f"{other}/") or f"{other}/".startswith(f"{one}/")


def test_the_default_run_reaches_no_stage_of_the_full_tier(in_root: Path) -> None:
    root = yaml.safe_load((in_root / "dvc.yaml").read_text(encoding="utf-8"))["stages"]
    simulated_sets = read_datasets()[SIMULATED]
    stages = [
        {"deps": [_path(dep).replace("${key}", key) for dep in stage.get("do", stage)["deps"]]}
        for stage in root.values()
        for key in simulated_sets
    ]
    entries = read_entries()
    by_tier: dict[str, list[dict[str, Any]]] = {"default": [], "full": []}
    for name, entry in entries.items():
        path = ROOT / layout.ENTRIES / name / "dvc.yaml"
        found = yaml.safe_load(path.read_text(encoding="utf-8"))["stages"]
        by_tier[entry.tier] += found.values()
    every = [*by_tier["default"], *by_tier["full"]]
    full = {stage["cmd"] for stage in by_tier["full"]}
    assert any(f" {SIMULATED} " in cmd for cmd in full), "the full tier runs on simulated data"
    reached = default_run_reads(stages, every)
    simulated = {s["cmd"] for s in by_tier["default"] if f" {SIMULATED} " in s["cmd"]}
    assert simulated <= reached
    assert not reached & full
    careless = default_run_reads([{"deps": ["data/scores"]}], every)
    assert careless & full, "a stage that read all of data/scores would be found"
