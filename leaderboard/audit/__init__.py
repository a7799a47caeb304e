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
from leaderboard.audit._library import check_association, check_library
from leaderboard.audit._novelty import go_terms, novelty_of_board
from leaderboard.audit._record import BoardFiles, Copies, Finding, FoldFiles
from leaderboard.audit._shared import CellCounts, find_shared, report_shared
from leaderboard.audit._similarity import COLUMNS, check_similarity, typed
from leaderboard.audit._splits import (
    check_combinations,
    check_controls,
    check_cover,
    check_groups,
    check_roles,
    check_size,
)
from leaderboard.cases import split_name
from leaderboard.io import (
    open_h5ad,
    read_h5ad,
    read_h5ad_annotations,
    read_parquet,
    read_roles,
)
from leaderboard.spec import Board

__all__ = [
    "BOARD_CHECKS",
    "CHECKS",
    "BoardFiles",
    "CellCounts",
    "Copies",
    "Finding",
    "FoldFiles",
    "audit_dataset",
    "audit_similarity",
    "find_copies",
    "find_shared",
    "report_shared",
]

SIMULATED = "known_truth"
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
"""Of one fold."""

BOARD_CHECKS: Mapping[str, Callable[[BoardFiles], Iterator[Finding]]] = {
    "cover": check_cover,
    "library": check_library,
    "association": check_association,
}
"""Of a whole board: what no fold changes."""


def audit_dataset(
    suite: str, dataset: str, boards: Sequence[Board], library: str
) -> list[dict[str, Any]]:
    """Run every check on every board and on each of its folds; return plain findings.

    Parameters
    ----------
    library
        What the dataset's record says of libraries: a column of ``obs``, ``single`` or ``unknown``.
    """
    with open_h5ad(layout.clean(suite, dataset)) as adata:
        obs = adata.obs
        copies = find_copies(adata.X, adata.obs_names, adata.var_names)
    findings = []
    for board in boards:
        whole = BoardFiles(board=board, roles=_roles(suite, board), obs=obs, library=library)
        findings += [found for check in BOARD_CHECKS.values() for found in check(whole)]
        findings += [
            found
            for files in _folds(suite, board, obs, copies)
            for check in CHECKS.values()
            for found in check(files)
        ]
    return _plain(findings)


def audit_similarity(
    suite: str, dataset: str, boards: Sequence[Board]
) -> tuple[list[dict[str, Any]], pd.DataFrame]:
    """Compare test with training perturbations: plain findings, and the novelty table.

    Random boards are left out: they hold out cells of perturbations that training shows. Simulated
    genes have no GO terms.
    """
    screens = [b for b in boards if b.task == "perturbation_prediction" and not b.is_random]
    if not screens:
        return [], typed(pd.DataFrame(columns=COLUMNS))
    has_targets = any(board.unit == "perturbation" for board in screens)
    terms = go_terms() if has_targets and suite != SIMULATED else None
    adata = read_h5ad(layout.clean(suite, dataset))
    findings, tables = [], []
    for board in screens:
        roles = _roles(suite, board)
        files = BoardFiles(board=board, roles=roles, obs=adata.obs, library="")
        tables.append(novelty_of_board(suite, adata, files, terms))
        findings += list(check_similarity(files, tables[-1], terms))
    return _plain(findings), pd.concat(tables, ignore_index=True)


def _plain(findings: Sequence[Finding]) -> list[dict[str, Any]]:
    return [asdict(finding) | {"ids": list(finding.ids)} for finding in findings]


def _roles(suite: str, board: Board) -> pd.DataFrame:
    return read_roles(layout.splits(suite, board.dataset) / f"{split_name(board)}.parquet")


def _folds(suite: str, board: Board, obs: pd.DataFrame, copies: Copies) -> Iterator[FoldFiles]:
    for number, rows in _roles(suite, board).groupby("fold"):
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
