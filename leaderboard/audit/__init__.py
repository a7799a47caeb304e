"""The leakage audit: findings that gate a board, from the files that models are given."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd

from leaderboard import layout
from leaderboard.cases import split_name
from leaderboard.io import read_h5ad, read_parquet, read_roles
from leaderboard.spec import Board
from leaderboard.splits import SPLITTERS

if TYPE_CHECKING:
    from anndata import AnnData

N_IDS = 20
OPAQUE = r"[0-9a-f]{24}"
SHOWN = {
    "cell_type_annotation": {"role", "cell_type", "donor_id", "batch", "total_counts_all_genes"},
    "perturbation_prediction": {
        *("role", "perturbation", "context", "size_factor", "donor_id", "batch", "cell_type"),
        "total_counts_all_genes",
    },
}
"""What inputs may show, kept apart from the code that writes them, so that one checks the other."""
SHOWN_UNS = {"perturbation_prediction": {"target_sum", "size_factor"}}
HIDDEN_FROM_TEST_CELLS = ("cell_type", "donor_id", "batch")
PAIRS = (("train", "test"), ("validation", "test"), ("train", "validation"))


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One result of one check; errors unrank a board, warnings travel to its page."""

    check: str
    board: str
    fold: int
    severity: Literal["ok", "warning", "error"]
    n: int
    ids: tuple[str, ...]
    message: str


@dataclass(frozen=True, kw_only=True)
class FoldFiles:
    """The files of one fold, as models and scoring get them."""

    board: Board
    fold: int
    roles: pd.DataFrame
    """``cell_id role`` of this fold."""
    obs: pd.DataFrame
    """The clean dataset's."""
    inputs: "AnnData"
    truth: pd.DataFrame


def audit_dataset(suite: str, dataset: str, boards: Sequence[Board]) -> list[dict[str, Any]]:
    """Run every check on every fold of every board; return plain findings."""
    obs = read_h5ad(layout.clean(suite, dataset)).obs
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
            inputs=read_h5ad(layout.cases(suite, board.dataset) / case / "inputs.h5ad"),
            truth=read_parquet(layout.truth(suite, board.dataset) / case / "truth.parquet"),
        )


def _finding(files: FoldFiles, check: str, bad: Sequence[str], what: str) -> Finding:
    """Return an error with the first ids, or an ok if there are none."""
    ids = sorted(map(str, bad))
    return Finding(
        check=check,
        board=files.board.id,
        fold=files.fold,
        severity="error" if ids else "ok",
        n=len(ids),
        ids=tuple(ids[:N_IDS]),
        message=f"{len(ids)} {what}" if ids else f"no {what}",
    )


def check_groups(files: FoldFiles) -> Iterator[Finding]:
    """Look for values of the held-out column on both sides."""
    column = SPLITTERS[files.board.split].column
    if column is None:
        return
    value = files.obs[column].astype(str).reindex(files.roles["cell_id"]).to_numpy()
    role = files.roles["role"].to_numpy()
    for one, other in PAIRS:
        shared = set(value[role == one]) & set(value[role == other])
        yield _finding(files, "groups", sorted(shared), f"{column} in both {one} and {other}")


def check_roles(files: FoldFiles) -> Iterator[Finding]:
    """Look for cells with two roles or unknown to the dataset, and for empty roles."""
    cells = files.roles["cell_id"]
    yield _finding(files, "roles", list(cells[cells.duplicated()]), "cell(s) with two roles")
    unknown = cells[~cells.isin(files.obs.index)]
    yield _finding(files, "roles", list(unknown), "cell(s) that the dataset does not hold")
    roles = ["train", "validation", "test"]
    if files.board.context is not None:
        roles += ["control_input", "control_truth"]
    empty = sorted(set(roles) - set(files.roles["role"]))
    yield _finding(files, "roles", empty, "role(s) without cells")


def check_controls(files: FoldFiles) -> Iterator[Finding]:
    """Look for controls outside their roles, and for scored cells among the inputs."""
    if files.board.context is None:
        return
    role = files.roles.set_index("cell_id")["role"]
    is_control = files.obs["perturbation"].astype(str).reindex(role.index) == "control"
    has_role = role.isin(["control_input", "control_truth"])
    wrong = role.index[is_control.to_numpy() != has_role.to_numpy()]
    yield _finding(files, "controls", list(wrong), "cell(s) with the role of the other kind")
    shared = set(files.truth["cell_id"]) & set(files.inputs.obs_names)
    yield _finding(files, "controls", sorted(shared), "scored cell(s) among the inputs")


def check_identifiers(files: FoldFiles) -> Iterator[Finding]:
    """Look for ids or an order of rows that tell something, and columns beyond the list."""
    names = pd.Series(files.inputs.obs_names.astype(str))
    plain = names[~names.str.fullmatch(OPAQUE) | names.isin(files.obs.index)]
    yield _finding(files, "identifiers", list(plain), "id(s) that are not opaque")
    yield _finding(
        files,
        "identifiers",
        [] if names.is_monotonic_increasing else ["order"],
        "order(s) of rows other than that of the hash",
    )
    extra = sorted(set(map(str, files.inputs.obs.columns)) - SHOWN[files.board.task])
    for place in ("obsm", "obsp", "layers", "uns"):
        known = SHOWN_UNS.get(files.board.task, set()) if place == "uns" else set()
        extra += [f"{place}:{key}" for key in sorted(set(getattr(files.inputs, place)) - known)]
    extra += ["raw"] if files.inputs.raw is not None else []
    yield _finding(files, "identifiers", extra, "column(s) beyond the whitelist")


def check_labels(files: FoldFiles) -> Iterator[Finding]:
    """Look for labels and groups of test cells among the inputs."""
    is_test = (files.inputs.obs["role"].astype(str) == "test").to_numpy()
    shown = [
        column
        for column in HIDDEN_FROM_TEST_CELLS
        if column in files.inputs.obs and files.inputs.obs.loc[is_test, column].notna().any()
    ]
    yield _finding(files, "labels", shown, "column(s) that show test cells")
    scored = files.truth[files.truth["role"] == "test"]
    asked = np.unique(scored["real_cell_id"])
    planned = files.roles.loc[files.roles["role"] == "test", "cell_id"]
    if files.board.task == "cell_type_annotation":
        planned = planned[files.obs["cell_type"].reindex(planned).notna().to_numpy()]
    missing = sorted(set(planned) ^ set(asked))
    yield _finding(files, "labels", missing, "test cell(s) that split and truth disagree on")


CHECKS: Mapping[str, Callable[[FoldFiles], Iterator[Finding]]] = {
    "groups": check_groups,
    "roles": check_roles,
    "controls": check_controls,
    "identifiers": check_identifiers,
    "labels": check_labels,
}
