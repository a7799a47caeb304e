"""Draw every split of one dataset, hold it to its frozen digest, and cut the cases."""

import sys
from dataclasses import dataclass
from functools import cache, partial
from itertools import chain
from pathlib import Path

import pandas as pd

from leaderboard import layout
from leaderboard.cases import build_cases, check_frozen, check_roles, digest, draw, split_name
from leaderboard.command import run
from leaderboard.config import read_dataset, read_params
from leaderboard.contracts import check_table, raise_if_broken, read_contract
from leaderboard.datasets import SOURCES
from leaderboard.io import (
    read_h5ad,
    read_json,
    read_roles,
    write_folder_then_rename,
    write_h5ad,
    write_parquet,
)
from leaderboard.spec import Board, Case
from leaderboard.workers import run_jobs


def main(suite: str, dataset: str) -> None:
    """Write role tables, what models see (``cases``) and what only scoring opens (``truth``)."""
    params = read_params()
    adata = read_h5ad(layout.clean(suite, dataset))
    lock = read_json(layout.SPLITS_LOCK)
    contract = read_contract(layout.CONTRACTS / "splits.json")
    with (
        write_folder_then_rename(layout.splits(suite, dataset)) as splits,
        write_folder_then_rename(layout.cases(suite, dataset)) as cases,
        write_folder_then_rename(layout.truth(suite, dataset)) as truth,
    ):
        jobs = []
        for board in params.boards_of(dataset):
            roles, strata = draw(adata.obs, board, params.folds)
            check_frozen(board, digest(roles, strata), lock)
            name = split_name(board)
            raise_if_broken([check_table(roles, contract, dataset=dataset, table_name=name)])
            check_roles(roles, adata.obs, board)
            write_parquet(splits / f"{name}.parquet", roles)
            write_parquet(splits / f"{name}.strata.parquet", strata)
            jobs.append(partial(_cut, suite, board, splits / f"{name}.parquet", (cases, truth)))
        for asked in chain.from_iterable(run_jobs(jobs, params.threads)):
            _write_true_means(asked, suite)


@dataclass(frozen=True, kw_only=True)
class _Asked:
    """What a fold of a perturbation board asks for, and where its truth is."""

    board: Board
    truth: Path
    queries: pd.DataFrame
    target_sum: float


def _cut(suite: str, board: Board, roles: Path, folders: tuple[Path, Path]) -> list[_Asked]:
    """Write the cases of one board."""
    adata = read_h5ad(layout.clean(suite, board.dataset))
    asked = []
    for fold, case in build_cases(adata, read_roles(roles), board, read_params().release):
        cases, truth = (folder / board.id / layout.fold_name(fold) for folder in folders)
        _write(case, cases, truth)
        _write_true_states(suite, board, truth)
        if board.context is not None and case.queries is not None:
            target_sum = float(case.inputs.uns["target_sum"])
            asked.append(
                _Asked(board=board, truth=truth, queries=case.queries, target_sum=target_sum)
            )
    return asked


def _write(case: Case, inputs: Path, truth: Path) -> None:
    write_h5ad(inputs / "inputs.h5ad", case.inputs)
    write_parquet(truth / "truth.parquet", case.truth)
    if case.queries is not None:
        write_parquet(inputs / "queries.parquet", case.queries)
    if case.truth_counts is not None:
        write_h5ad(truth / "truth.h5ad", case.truth_counts)
    for name, table in (("moments", case.moments), ("groups", case.groups)):
        if table is not None:
            write_parquet(truth / f"{name}.parquet", table)


def _write_true_states(suite: str, board: Board, truth: Path) -> None:
    """Add the noise-free means of cell types that a simulator keeps, to an integration board."""
    states = SOURCES[read_dataset(suite, board.dataset).source].true_states
    if board.task == "batch_integration" and states is not None:
        write_parquet(truth / "true_state.parquet", states(layout.raw(suite, board.dataset)))


def _write_true_means(asked: _Asked, suite: str) -> None:
    """Add the noise-free means that a simulator keeps, in the unit of the board."""
    board = asked.board
    table = _true_profiles(suite, board.dataset, str(board.context), asked.target_sum)
    if table is not None:
        rows = asked.queries.merge(table, on=["perturbation", "context"], how="left")
        write_parquet(asked.truth / "true_mean.parquet", rows)


@cache
def _true_profiles(
    suite: str, dataset: str, context: str, target_sum: float
) -> pd.DataFrame | None:
    """Ask the simulator once for all folds and boards that share context and target sum."""
    profiles = SOURCES[read_dataset(suite, dataset).source].true_profiles
    return None if profiles is None else profiles(layout.raw(suite, dataset), context, target_sum)


if __name__ == "__main__":
    run(main, sys.argv[1:])
