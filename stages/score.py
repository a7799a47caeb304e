"""Score one entry's predictions on one dataset."""

import sys
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd

from leaderboard import layout
from leaderboard.cases import split_name
from leaderboard.command import run
from leaderboard.config import Params, read_board_lock, read_params
from leaderboard.errors import FreezeError
from leaderboard.evidence import FoldTruth, check_files, read_evidence, read_truths
from leaderboard.freeze import board_constants
from leaderboard.io import (
    FAILURE_COLUMNS,
    read_h5ad,
    read_json,
    read_parquet,
    read_roles,
    write_failures,
    write_json,
    write_scores,
)
from leaderboard.models import MODELS
from leaderboard.score import failed_board, failures_of_board, metrics_of, score_board
from leaderboard.spec import Board
from leaderboard.submission.entry import (
    CONTROLS,
    Entry,
    boards_of,
    plugins_of,
    read_entry,
    seeds_of,
)
from leaderboard.tasks import TASKS
from leaderboard.workers import limit_threads, run_jobs


def main(suite: str, dataset: str, name: str) -> None:
    """Write score and failure tables; the controls' also recompute the frozen constants."""
    params, entry = read_params(), read_entry(layout.ENTRIES / name)
    limit_threads(params.threads)
    lock = read_board_lock(dataset)
    boards = boards_of(entry, dataset, suite, params)
    for board in boards:
        if board.id not in lock:
            raise FreezeError(f"{board.id} is not frozen. Run `heldout freeze {dataset}`.")
    under = layout.tier_of(suite, entry.tier)
    constants = [partial(_constants, suite, board) for board in boards]
    if entry.kind != CONTROLS:
        constants = []
    scores = [partial(_score_board, suite, entry, name, board, params) for board in boards]
    done = run_jobs([*constants, *scores], params.threads)
    if constants:
        found = dict(zip((board.id for board in boards), done, strict=False))
        write_json(layout.constants(under, dataset), found)
    tables, failures = zip(*done[len(constants) :], strict=True)
    write_failures(layout.failures(under, dataset, name), pd.concat(failures))
    facts = entry.model_dump(mode="json", by_alias=True)
    write_json(layout.entry_facts(under, dataset, name), facts)
    write_scores(layout.scores(under, dataset, name), pd.concat(tables))


def _constants(suite: str, board: Board) -> dict[str, Any]:
    """Recompute what is frozen about a board."""
    folder, name = layout.splits(suite, board.dataset), split_name(board)
    return board_constants(
        read_h5ad(layout.clean(suite, board.dataset)),
        read_roles(folder / f"{name}.parquet"),
        read_parquet(folder / f"{name}.strata.parquet"),
        board,
    )


def _score_board(
    suite: str, entry: Entry, name: str, board: Board, params: Params
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the score and the failure rows of one board, of every plug-in of the controls."""
    truths, constants = read_truths(suite, board), read_board_lock(board.dataset)[board.id]
    # Where a control fails tells nobody anything.
    wants_failures = entry.kind != CONTROLS
    seeds = seeds_of(entry, board.dataset, params)
    found = [
        _score(row_name, board, folder, (truths, constants), seeds, wants_failures=wants_failures)
        for row_name, folder in _predictions(suite, entry, name, board)
    ]
    no_failures = pd.DataFrame(columns=FAILURE_COLUMNS)
    failures = [f for _, f in found if len(f)]
    return pd.concat([table for table, _ in found]), pd.concat(failures or [no_failures])


def _predictions(suite: str, entry: Entry, name: str, board: Board) -> Iterator[tuple[str, Path]]:
    """Yield the name that rows carry and the folder of the predictions of a board."""
    root = layout.predictions(layout.tier_of(suite, entry.tier), board.dataset, name)
    if entry.kind != CONTROLS:
        yield name, root / board.id
        return
    for plugin in plugins_of(entry, board, suite):
        yield plugin, root / plugin / board.id


def _score(
    name: str,
    board: Board,
    folder: Path,
    known: tuple[Sequence[FoldTruth], Any],
    seeds: Sequence[int],
    *,
    wants_failures: bool,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return score and failure rows of one plug-in; ``known``: truths of the folds, constants."""
    truths, constants = known
    status = read_json(folder / "status.json")
    failed = status["status"] == "failed"
    if not failed:
        check_files(folder, len(truths), seeds)
    evidence = [
        read_evidence(board, truth, seed, None if failed else folder, constants)
        for truth in truths
        for seed in seeds
    ]
    # Adversaries attack what ranks; the plug-ins of the controls carry their own names.
    is_adversary = name in MODELS and MODELS[name].is_adversary
    ranked_only = is_adversary and not TASKS[board.task].shows_adversaries
    metrics = metrics_of(board.task, ranked_only=ranked_only)
    if failed:
        return failed_board(name, board, evidence, status["reason"], metrics), pd.DataFrame()
    scores = score_board(name, board, evidence, constants, metrics)
    if not wants_failures:
        return scores, pd.DataFrame()
    return scores, failures_of_board(name, board, evidence, constants)


if __name__ == "__main__":
    run(main, sys.argv[1:])
