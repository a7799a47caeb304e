"""Score one entry's predictions on one dataset."""

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from leaderboard import layout
from leaderboard.cases import split_name
from leaderboard.command import run
from leaderboard.config import Params, read_params
from leaderboard.errors import FreezeError
from leaderboard.evidence import FoldTruth, read_evidence, read_truths
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
from leaderboard.score import failed_board, failures_of_board, score_board
from leaderboard.spec import Board
from leaderboard.submission.entry import CONTROLS, Entry, boards_of, plugins_of, read_entry

if TYPE_CHECKING:
    from anndata import AnnData


def main(suite: str, dataset: str, name: str) -> None:
    """Write score and failure tables; the controls' also recompute the frozen constants."""
    params, entry = read_params(), read_entry(layout.ENTRIES / name)
    lock = read_json(layout.BOARDS_LOCK)
    boards = boards_of(entry, dataset, suite, params)
    under = layout.tier_of(suite, entry.tier)
    scores, failures = [], []
    for board in boards:
        if board.id not in lock:
            raise FreezeError(f"{board.id} is not frozen. Run `heldout freeze {dataset}`.")
        truths = read_truths(suite, board)
        for row_name, folder in _predictions(suite, entry, name, board):
            table, details = _score(row_name, board, folder, truths, params, lock[board.id])
            scores.append(table)
            if entry.kind != CONTROLS:  # where an adversary fails tells nobody anything
                failures.append(details)
    found = [f for f in failures if len(f)] or [pd.DataFrame(columns=FAILURE_COLUMNS)]
    write_failures(layout.failures(under, dataset, name), pd.concat(found))
    if entry.kind == CONTROLS:
        adata = read_h5ad(layout.clean(suite, dataset))
        folder = layout.splits(suite, dataset)
        write_json(layout.constants(under, dataset), _constants(adata, folder, boards))
    facts = entry.model_dump(mode="json", by_alias=True)
    write_json(layout.entry_facts(under, dataset, name), facts)
    write_scores(layout.scores(under, dataset, name), pd.concat(scores))


def _constants(adata: "AnnData", folder: Path, boards: Sequence[Board]) -> dict[str, Any]:
    """Recompute what is frozen about every board."""
    return {
        board.id: board_constants(
            adata,
            read_roles(folder / f"{split_name(board)}.parquet"),
            read_parquet(folder / f"{split_name(board)}.strata.parquet"),
            board,
        )
        for board in boards
    }


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
    truths: Sequence[FoldTruth],
    params: Params,
    constants: Any,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    status = read_json(folder / "status.json")
    failed = status["status"] == "failed"
    evidence = [
        read_evidence(board, truth, seed, None if failed else folder, constants)
        for truth in truths
        for seed in params.seeds
    ]
    if failed:
        return failed_board(name, board, evidence, status["reason"]), pd.DataFrame()
    return (
        score_board(name, board, evidence, constants),
        failures_of_board(name, board, evidence, constants),
    )


if __name__ == "__main__":
    run(main, sys.argv[1:])
