"""``heldout publish``: promote score tables of the real suites into ``leaderboard/results``."""

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from leaderboard import layout
from leaderboard.audit._similarity import plain_rows
from leaderboard.cases import split_name
from leaderboard.config import Params, read_board_lock, read_datasets, read_params
from leaderboard.errors import PublishError
from leaderboard.freeze import check_constants
from leaderboard.inference.collect import CONTROLS, DATASET_FACTS
from leaderboard.io import (
    read_json,
    read_parquet,
    read_scores,
    sha256_file,
    sha256_folder,
    write_json,
    write_text,
)
from leaderboard.spec import Board
from leaderboard.submission.entry import Entry, boards_of, read_entries

SUITE = "public_small"
PIPELINE = "data/real/dvc.yaml:collect"


def publish() -> list[str]:
    """Check that all results belong together, then write them; return a line a dataset.

    Raises
    ------
    PublishError
        If the real pipeline is not up to date, a result is missing, made by uncommitted code, or of
        other splits, constants or entries than the tree's.
    """
    params, entries = read_params(), read_entries()
    _check_up_to_date(PIPELINE, "make real")
    for name, entry in entries.items():
        if entry.tier == "full" and _has_full_scores(name):
            _check_up_to_date(f"{layout.ENTRIES}/{name}/dvc.yaml", "make full")
    datasets = [d for d in read_datasets()[SUITE] if params.boards_of(d)]
    records = {d: _records(d, params, entries) for d in datasets}
    for dataset in datasets:
        for name, record in records[dataset].items():
            _write(name, entries[name], dataset, record)
        facts = dataset_facts(dataset, params.release)
        write_json(layout.RESULTS / dataset / DATASET_FACTS, facts)
    return [f"{layout.RESULTS / dataset}: {', '.join(records[dataset])}" for dataset in datasets]


def dataset_facts(dataset: str, release: str) -> dict[str, Any]:
    """Return what is published of a real dataset besides scores.

    Contract report and composition, the audit's findings with those on cells that other datasets
    hold too, what comparing it with each of them came to (``shared``), and how near test
    perturbations are to those of training (``novelty``).
    """
    shared = read_json(layout.duplicates(SUITE, dataset))
    return {
        "release": release,
        "validation": read_json(layout.validation(SUITE, dataset)),
        "audit": [*read_json(layout.audit(SUITE, dataset)), *shared["findings"]],
        "shared": shared["comparisons"],
        "novelty": plain_rows(read_parquet(layout.novelty(SUITE, dataset))),
    }


def _records(
    dataset: str, params: Params, entries: Mapping[str, Entry]
) -> dict[str, dict[str, Any]]:
    _check_constants(dataset, params.boards_of(dataset))
    return {
        name: _provenance(name, entry, dataset, params)
        for name, entry in entries.items()
        if boards_of(entry, dataset, SUITE, params)
        and (entry.tier == "default" or _scores(name, entry, dataset).is_file())
    }


def _under(entry: Entry) -> str:
    return layout.tier_of(SUITE, entry.tier)


def _scores(name: str, entry: Entry, dataset: str) -> Path:
    return layout.scores(_under(entry), dataset, name)


def _has_full_scores(name: str) -> bool:
    """Return whether an entry of the full tier was ever run here; it need not be."""
    return any((layout.DATA / "scores" / "full" / SUITE).glob(f"*/{name}.csv"))


def _check_up_to_date(pipeline: str, remedy: str) -> None:
    command = [sys.executable, "-m", "dvc", "status", "--json", "--with-deps", pipeline]
    done = subprocess.run(  # noqa: S603 (fixed program and arguments)
        command, capture_output=True, text=True, check=False
    )
    try:
        changed = json.loads(done.stdout)
    except ValueError:
        raise PublishError(f"`dvc status` failed: {done.stderr.strip()[-300:]}") from None
    if changed:
        names = sorted(changed)[:5]
        raise PublishError(f"{pipeline} is not up to date ({names}, ...). Run `{remedy}`.")


def _check_constants(dataset: str, boards: tuple[Board, ...]) -> None:
    found, lock = read_json(layout.constants(SUITE, dataset)), read_board_lock(dataset)
    for board in boards:
        check_constants(lock.get(board.id, {}), found.get(board.id, {}), board.id)


def _provenance(name: str, entry: Entry, dataset: str, params: Params) -> dict[str, Any]:
    """Return what ties an entry's scores to code, splits and predictions."""
    boards = boards_of(entry, dataset, SUITE, params)
    run = read_json(layout.run(_under(entry), dataset, name))
    commit = str(run["tags"]["git_commit"])
    if commit.endswith("+") or commit == "unknown":
        raise PublishError(
            f"{name} on {dataset}: predicted with uncommitted code ({commit}). Commit, then "
            f"`dvc repro -f leaderboard/entries/{name}/dvc.yaml:predict-{dataset}` and publish."
        )
    scores = _scores(name, entry, dataset)
    expected, got = {b.id for b in boards}, set(read_scores(scores)["board"])
    if expected != got:
        raise PublishError(f"{scores}: expected the boards {sorted(expected)}, got {sorted(got)}.")
    splits = read_json(layout.SPLITS_LOCK)[dataset]
    return {
        "schema": 1,
        "release": params.release,
        "dataset": dataset,
        "id": name,
        "entry": read_json(layout.entry_facts(SUITE, dataset, name)),
        "tier": entry.tier,
        "verification": "reproduced",
        "code_commit": commit,
        "entry_sha256": sha256_file(layout.ENTRIES / name / "entry.yaml"),
        "mlflow_run": run["mlflow_run"],
        "boards": {
            board.id: {
                "split_sha256": splits[split_name(board)],
                "predictions_sha256": _predictions(name, entry, board),
                "scores_sha256": sha256_file(scores),
                "folds": len(_folds(run, board)),
            }
            for board in boards
        },
        "run": run,
    }


def _predictions(name: str, entry: Entry, board: Board) -> str | dict[str, str]:
    root = layout.predictions(_under(entry), board.dataset, name)
    if entry.kind != CONTROLS:
        return sha256_folder(root / board.id)
    folders = sorted(path for path in root.iterdir() if (path / board.id).is_dir())
    return {folder.name: sha256_folder(folder / board.id) for folder in folders}


def _folds(run: Mapping[str, Any], board: Board) -> Mapping[str, Any]:
    for folder, record in run["boards"].items():
        if Path(folder).name == board.id:
            folds: Mapping[str, Any] = record["folds"]
            return folds
    raise PublishError(f"{run['entry']}: the run record holds no folds of {board.id}.")


def _write(name: str, entry: Entry, dataset: str, record: Mapping[str, Any]) -> None:
    target = layout.RESULTS / dataset
    under = _under(entry)
    sources = [_scores(name, entry, dataset), layout.failures(under, dataset, name)]
    if entry.kind == CONTROLS:
        sources.append(layout.constants(SUITE, dataset))
    for source in sources:
        write_text(target / source.name, source.read_text(encoding="utf-8"))
    write_json(target / f"{name}.json", record)
