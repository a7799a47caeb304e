"""Draw a board's split, take its digest, hold it to the frozen one, and cut its cases."""

import hashlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import pandas as pd

from leaderboard.errors import LeakageError, SplitError
from leaderboard.spec import CONTROL, Board, Case, FoldRule, SplitRequest
from leaderboard.splits import SPLITTERS
from leaderboard.tasks import TASKS

if TYPE_CHECKING:
    from anndata import AnnData

STRATA = ["fold", "unit", "stratum"]


def split_name(board: Board) -> str:
    """Name of a board's split file and lock key: controls make it depend on the task."""
    return f"{board.task}-{board.split_key}"


def draw(obs: pd.DataFrame, board: Board, rule: FoldRule) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the role table and the strata table of a board's split.

    Raises
    ------
    SplitError
        If a column that the board needs is missing, or there are too few groups.
    """
    splitter = SPLITTERS[board.split]
    for column in {board.unit, board.context, splitter.column} - {None}:
        if column not in obs:
            raise SplitError(
                f"{board.id}: obs has no column {column!r}; it has {sorted(map(str, obs.columns))}."
                " Name it in the dataset's record or leave the board out of params.yaml."
            )
    request = SplitRequest(rule=rule, task=board.task, matches=board.matches, context=board.context)
    roles = splitter.assign(obs, request)
    strata = pd.DataFrame(columns=STRATA)
    if splitter.strata is not None:
        strata = splitter.strata(obs, roles, board.unit).sort_values(STRATA)
    return roles, strata.reset_index(drop=True)


def digest(roles: pd.DataFrame, strata: pd.DataFrame) -> str:
    """SHA-256 of the content of a split: its sorted lines, not the bytes of a file."""
    lines = _lines(roles[["cell_id", "fold", "role"]]) + _lines(strata[STRATA])
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def _lines(table: pd.DataFrame) -> list[str]:
    columns = [table[c].astype(str) for c in table.columns]
    return sorted(map(",".join, zip(*columns, strict=True)))


def check_frozen(board: Board, found: str, lock: Mapping[str, Any]) -> None:
    """Raise SplitError unless a split's digest is the one in ``data/splits.lock.json``."""
    frozen = lock.get(board.dataset, {}).get(split_name(board))
    if frozen is None:
        raise SplitError(
            f"{board.id}: its split is not frozen. Run `heldout freeze {board.dataset}`, look at "
            "the change to data/*.lock.json and commit it."
        )
    if frozen != found:
        raise SplitError(
            f"{board.id}: the split no longer matches its frozen digest: expected {frozen[:16]}, "
            f"got {found[:16]}. The data, the seed or the rule changed. Undo that; or set a new "
            "`release` in params.yaml and run `heldout freeze --all`: a release is superseded, "
            "never edited."
        )


def case_key(release: str, board: Board, fold: int) -> str:
    """Key of the hash that makes cell ids opaque; public."""
    return f"{release}/{board.id}/{fold}"


def build_case(
    adata: "AnnData", roles: pd.DataFrame, board: Board, fold: int, release: str
) -> Case:
    """Cut one fold of a board into inputs and truth."""
    rows = roles.loc[roles["fold"] == fold, ["cell_id", "role"]]
    return TASKS[board.task].build_case(adata, rows, board, case_key(release, board, fold))


def check_roles(roles: pd.DataFrame, obs: pd.DataFrame, board: Board) -> None:
    """Raise LeakageError if a held-out group is on both sides of a fold, or a role is empty.

    Random boards hold out cells, so only the cells themselves are checked.
    """
    twice = roles[roles.duplicated(["cell_id", "fold"])]
    if len(twice):
        raise LeakageError(
            f"{board.id}: {len(twice)} cell(s) have two roles in one fold, first "
            f"{twice['cell_id'].iloc[0]}. Fix leaderboard/splits/{board.split}.py."
        )
    column = SPLITTERS[board.split].column
    for fold, rows in roles.groupby("fold"):
        for role in ("train", "validation", "test"):
            if not (rows["role"] == role).any():
                raise LeakageError(f"{board.id}, fold {fold}: no cell has the role {role}.")
        if column is not None:
            _check_disjoint(rows, obs, board, column)
        if board.context is not None:
            _check_controls(rows, obs, board)


def _check_disjoint(rows: pd.DataFrame, obs: pd.DataFrame, board: Board, column: str) -> None:
    fold = rows["fold"].iloc[0]
    value = obs.loc[rows["cell_id"], column].astype(str).to_numpy()
    groups = {role: set(value[rows["role"] == role]) for role in ("train", "validation", "test")}
    for one, other in (("train", "test"), ("validation", "test"), ("train", "validation")):
        shared = sorted(groups[one] & groups[other])
        if shared:
            raise LeakageError(
                f"{board.id}, fold {fold}: {len(shared)} value(s) of {column} are in {one} and in "
                f"{other}: {shared[:5]}. Fix leaderboard/splits/{board.split}.py, then "
                "`dvc repro split`."
            )


def _check_controls(rows: pd.DataFrame, obs: pd.DataFrame, board: Board) -> None:
    """Raise LeakageError unless control cells, and they alone, have a control's role."""
    role = rows.set_index("cell_id")["role"]
    is_control = obs.loc[role.index, "perturbation"].astype(str) == CONTROL
    wrong = is_control.to_numpy() != role.isin(["control_input", "control_truth"]).to_numpy()
    if wrong.any():
        raise LeakageError(
            f"{board.id}, fold {rows['fold'].iloc[0]}: {wrong.sum()} control cell(s) have another "
            f"role, or perturbed cells have a control's, first {role.index[wrong][0]}."
        )
