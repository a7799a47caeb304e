"""The leakage audit: findings that gate a board, from the files that models are given."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pandas as pd

from leaderboard import layout
from leaderboard.audit._confounding import check_confounding
from leaderboard.audit._inputs import check_identifiers, check_labels
from leaderboard.audit._record import Finding, FoldFiles
from leaderboard.audit._splits import (
    check_combinations,
    check_controls,
    check_groups,
    check_roles,
    check_size,
)
from leaderboard.cases import split_name
from leaderboard.io import read_h5ad_annotations, read_parquet, read_roles
from leaderboard.spec import Board

__all__ = ["CHECKS", "Finding", "FoldFiles", "audit_dataset"]

CHECKS: Mapping[str, Callable[[FoldFiles], Iterator[Finding]]] = {
    "groups": check_groups,
    "roles": check_roles,
    "controls": check_controls,
    "combinations": check_combinations,
    "size": check_size,
    "confounding": check_confounding,
    "identifiers": check_identifiers,
    "labels": check_labels,
}


def audit_dataset(suite: str, dataset: str, boards: Sequence[Board]) -> list[dict[str, Any]]:
    """Run every check on every fold of every board; return plain findings."""
    obs = read_h5ad_annotations(layout.clean(suite, dataset)).obs
    findings = [
        finding
        for board in boards
        for files in _folds(suite, board, obs)
        for check in CHECKS.values()
        for finding in check(files)
    ]
    return [asdict(finding) | {"ids": list(finding.ids)} for finding in findings]


def _folds(suite: str, board: Board, obs: pd.DataFrame) -> Iterator[FoldFiles]:
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
        )
