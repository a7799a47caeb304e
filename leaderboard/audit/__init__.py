"""The leakage audit: findings that gate a board, from the files that models are given."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pandas as pd

from leaderboard import layout
from leaderboard.audit._confounding import check_confounding
from leaderboard.audit._duplicates import check_duplicates, find_copies
from leaderboard.audit._guesses import check_guesses
from leaderboard.audit._inputs import check_identifiers, check_labels
from leaderboard.audit._record import Copies, Finding, FoldFiles
from leaderboard.audit._shared import CellCounts, find_shared, report_shared
from leaderboard.audit._splits import (
    check_combinations,
    check_controls,
    check_groups,
    check_roles,
    check_size,
)
from leaderboard.cases import split_name
from leaderboard.io import open_h5ad, read_h5ad_annotations, read_parquet, read_roles
from leaderboard.spec import Board

__all__ = [
    "CHECKS",
    "CellCounts",
    "Copies",
    "Finding",
    "FoldFiles",
    "audit_dataset",
    "find_copies",
    "find_shared",
    "report_shared",
]

CHECKS: Mapping[str, Callable[[FoldFiles], Iterator[Finding]]] = {
    "groups": check_groups,
    "roles": check_roles,
    "controls": check_controls,
    "combinations": check_combinations,
    "size": check_size,
    "confounding": check_confounding,
    "identifiers": check_identifiers,
    "labels": check_labels,
    "guesses": check_guesses,
    "duplicates": check_duplicates,
}


def audit_dataset(suite: str, dataset: str, boards: Sequence[Board]) -> list[dict[str, Any]]:
    """Run every check on every fold of every board; return plain findings."""
    with open_h5ad(layout.clean(suite, dataset)) as adata:
        obs = adata.obs
        copies = find_copies(adata.X, adata.obs_names, adata.var_names)
    findings = [
        finding
        for board in boards
        for files in _folds(suite, board, obs, copies)
        for check in CHECKS.values()
        for finding in check(files)
    ]
    return [asdict(finding) | {"ids": list(finding.ids)} for finding in findings]


def _folds(suite: str, board: Board, obs: pd.DataFrame, copies: Copies) -> Iterator[FoldFiles]:
    table = read_roles(layout.splits(suite, board.dataset) / f"{split_name(board)}.parquet")
    for number, rows in table.groupby("fold"):
        fold = int(str(number))
        case = Path(board.id) / layout.fold_name(fold)
        yield FoldFiles(
            board=board,
            fold=fold,
            roles=rows[["cell_id", "role"]],
            obs=obs,
            inputs=read_h5ad_annotations(layout.cases(suite, board.dataset) / case / "inputs.h5ad"),
            truth=read_parquet(layout.truth(suite, board.dataset) / case / "truth.parquet"),
            copies=copies,
        )
