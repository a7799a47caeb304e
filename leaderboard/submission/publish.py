"""``heldout publish``: promote score tables into ``leaderboard/results``.

Of the real suites those of every entry, of the simulated one those of the full tier.
"""

import json
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from leaderboard import layout
from leaderboard.audit._similarity import plain_rows
from leaderboard.cases import split_name
from leaderboard.config import Params, read_board_lock, read_datasets, read_params
from leaderboard.errors import PublishError
from leaderboard.freeze import check_constants
from leaderboard.inference.collect import CONTROLS, DATASET_FACTS
from leaderboard.inference.committed import constants_digest
from leaderboard.io import (
    read_json,
    read_parquet,
    read_scores,
    sha256_file,
    sha256_folder,
    write_json,
    write_packed,
    write_text,
)
from leaderboard.spec import Board
from leaderboard.submission.entry import SIMULATED, Entry, boards_of, read_entries

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
    every = [
        Results(suite=suite, dataset=dataset, params=params)
        for suite in (SUITE, SIMULATED)
        for dataset in read_datasets()[suite]
        if params.boards_of(dataset)
    ]
    found = [(results, _records(results, entries)) for results in every]
    return [_write_all(results, records, entries) for results, records in found if records]


@dataclass(frozen=True, kw_only=True)
class Results:
    """The results of a dataset, to be published."""

    suite: str
    dataset: str
    params: Params

    def under(self, entry: Entry) -> str:
        """Folder of what the entry wrote about the dataset."""
        return layout.tier_of(self.suite, entry.tier)

    def scores(self, name: str, entry: Entry) -> Path:
        """Score table of an entry."""
        return layout.scores(self.under(entry), self.dataset, name)

    def boards(self, entry: Entry) -> list[Board]:
        """Boards that an entry answers."""
        return boards_of(entry, self.dataset, self.suite, self.params)

    def is_due(self, name: str, entry: Entry) -> bool:
        """Whether an entry's scores must be there: the full tier's only once they were made."""
        if not self.boards(entry):
            return False
        if entry.tier == "full":
            return self.scores(name, entry).is_file()
        return self.suite != SIMULATED


def _write_all(
    results: Results, records: Mapping[str, Mapping[str, Any]], entries: Mapping[str, Entry]
) -> str:
    """Write all results of a dataset; return the line that says so."""
    for name, record in records.items():
        _write(results, name, entries[name], record)
    if results.suite != SIMULATED:
        facts = dataset_facts(results.dataset, results.params.release)
        write_json(layout.RESULTS / results.dataset / DATASET_FACTS, facts)
    return f"{layout.RESULTS / results.dataset}: {', '.join(records)}"


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


def _records(results: Results, entries: Mapping[str, Entry]) -> dict[str, dict[str, Any]]:
    due = {name: entry for name, entry in entries.items() if results.is_due(name, entry)}
    if due:
        _check_constants(results)
    return {name: _provenance(results, name, entry) for name, entry in due.items()}


def _has_full_scores(name: str) -> bool:
    """Return whether an entry of the full tier was ever run here; it need not be."""
    return any((layout.DATA / "scores" / "full").glob(f"*/*/{name}.csv"))


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


def _check_constants(results: Results) -> None:
    """Hold the recomputed constants against the frozen ones, which scores use."""
    if results.suite == SIMULATED:
        controls = f"{layout.ENTRIES}/{CONTROLS}/dvc.yaml:score-{results.dataset}"
        _check_up_to_date(controls, "make leaderboard")
    found = read_json(layout.constants(results.suite, results.dataset))
    lock = read_board_lock(results.dataset)
    for board in results.params.boards_of(results.dataset):
        check_constants(lock.get(board.id, {}), found.get(board.id, {}), board.id)


def _provenance(results: Results, name: str, entry: Entry) -> dict[str, Any]:
    """Return what ties an entry's scores to code, splits, constants and predictions."""
    record = read_json(layout.run(results.under(entry), results.dataset, name))
    commit = str(record["tags"]["git_commit"])
    if commit.endswith("+") or commit == "unknown":
        raise PublishError(
            f"{name} on {results.dataset}: predicted with uncommitted code ({commit}). Commit, "
            f"then `dvc repro -f {layout.ENTRIES}/{name}/dvc.yaml:predict-{results.dataset}` and "
            "publish."
        )
    return {
        "schema": 1,
        "release": results.params.release,
        "dataset": results.dataset,
        "id": name,
        "entry": read_json(layout.entry_facts(results.under(entry), results.dataset, name)),
        "tier": entry.tier,
        "verification": "reproduced",
        "code_commit": commit,
        "entry_sha256": sha256_file(layout.ENTRIES / name / "entry.yaml"),
        "failures_sha256": sha256_file(
            layout.failures(results.under(entry), results.dataset, name)
        ),
        "mlflow_run": record["mlflow_run"],
        "boards": _board_digests(results, name, entry, record),
        "run": record,
    }


def _board_digests(
    results: Results, name: str, entry: Entry, record: Mapping[str, Any]
) -> dict[str, dict[str, Any]]:
    """Return by board the digests of all that its scores are made from.

    Raises
    ------
    PublishError
        If the score table is not of the boards that the entry answers.
    """
    scores, boards = results.scores(name, entry), results.boards(entry)
    table = read_scores(scores)
    expected, got = {b.id for b in boards}, set(table["board"])
    if expected != got:
        raise PublishError(f"{scores}: expected the boards {sorted(expected)}, got {sorted(got)}.")
    splits = read_json(layout.SPLITS_LOCK)[results.dataset]
    lock, metrics = read_board_lock(results.dataset), table.groupby("board")["metric"]
    return {
        board.id: {
            "split_sha256": splits[split_name(board)],
            "constants_sha256": constants_digest(lock[board.id], set(metrics.get_group(board.id))),
            "predictions_sha256": _predictions(results, name, entry, board),
            "scores_sha256": sha256_file(scores),
            "folds": len(_folds(record, board)),
        }
        for board in boards
    }


def _predictions(results: Results, name: str, entry: Entry, board: Board) -> str | dict[str, str]:
    root = layout.predictions(results.under(entry), board.dataset, name)
    if entry.kind != CONTROLS:
        return sha256_folder(root / board.id)
    folders = sorted(path for path in root.iterdir() if (path / board.id).is_dir())
    return {folder.name: sha256_folder(folder / board.id) for folder in folders}


def _folds(record: Mapping[str, Any], board: Board) -> Mapping[str, Any]:
    for folder, found in record["boards"].items():
        if Path(folder).name == board.id:
            folds: Mapping[str, Any] = found["folds"]
            return folds
    raise PublishError(f"{record['entry']}: the run record holds no folds of {board.id}.")


def _write(results: Results, name: str, entry: Entry, record: Mapping[str, Any]) -> None:
    """Write an entry's tables and record; tables of simulated data, which are long, compressed."""
    target = layout.RESULTS / results.dataset
    sources = [
        results.scores(name, entry),
        layout.failures(results.under(entry), results.dataset, name),
    ]
    if entry.kind == CONTROLS:
        sources.append(layout.constants(results.suite, results.dataset))
    for source in sources:
        text = source.read_text(encoding="utf-8")
        if results.suite == SIMULATED:
            write_packed(target / f"{source.name}.gz", text)
        else:
            write_text(target / source.name, text)
    write_json(target / f"{name}.json", record)
