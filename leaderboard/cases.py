"""Draw a board's split, take its digest, hold it to the frozen one, and cut its cases."""

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import pandas as pd

from leaderboard.errors import LeakageError, SplitError
from leaderboard.spec import CONTROL, Board, Case, FoldRule, SplitRequest
from leaderboard.splits import SPLITTERS
from leaderboard.tasks import TASKS

if TYPE_CHECKING:
    from anndata import AnnData

STRATA = ["fold", "unit", "stratum"]
SIDES = ("train", "validation", "test")


def split_name(board: Board) -> str:
    """Name of a board's split file and lock key: controls make it depend on the task."""
    return f"{board.task}-{board.split_key}"


def select(obs: pd.DataFrame, board: Board) -> pd.DataFrame:
    """Return the rows of a board's cells: those with a value that ``where`` lists, as text.

    Raises
    ------
    SplitError
        If ``obs`` lacks a column of ``where``, or no cell has one of its values.
    """
    _check_columns(obs, board, board.where)
    kept = pd.Series(data=True, index=obs.index)
    for column, values in board.where.items():
        text = obs[column].astype(str).where(obs[column].notna())
        wanted = list(map(str, values))
        unknown = sorted(set(wanted) - set(text.dropna()))
        if unknown or not wanted:
            raise SplitError(
                f"{board.id}: `where` asks for {column} in {wanted}, but no cell has {unknown}; it "
                f"has {sorted(set(text.dropna()))[:10]}. Correct the line in params.yaml."
            )
        kept &= text.isin(wanted)
    if not kept.any():
        raise SplitError(f"{board.id}: no cell meets all of `where`. Correct it in params.yaml.")
    return obs[kept]


def draw(obs: pd.DataFrame, board: Board, rule: FoldRule) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the role table and the strata table of a board's split.

    Raises
    ------
    SplitError
        If a column that the board needs is missing or has missing values, there are too few
        groups, or the task's units are genes and the board says otherwise.
    """
    _check_unit(board)
    obs = select(obs, board)
    columns = obs_columns(board)
    _check_columns(obs, board, columns)
    for column in sorted(columns):
        if obs[column].isna().any():
            raise SplitError(
                f"{board.id}: {obs[column].isna().sum()} cell(s) have no {column}, first "
                f"{obs.index[obs[column].isna()][0]}. Leave them out in the dataset's reader."
            )
    splitter = SPLITTERS[board.split]
    request = SplitRequest(rule=rule, task=board.task, matches=board.matches, context=board.context)
    roles = splitter.assign(obs, request)
    strata = pd.DataFrame(columns=STRATA)
    if splitter.strata is not None:
        strata = splitter.strata(obs, roles, board.unit).sort_values(STRATA)
    return roles, strata.reset_index(drop=True)


def _check_unit(board: Board) -> None:
    wanted = TASKS[board.task].gene_unit
    if wanted and board.unit != wanted:
        raise SplitError(
            f"{board.id}: the units of {board.task} are genes, so `unit` must be {wanted}, not "
            f"{board.unit}. Correct the line in params.yaml."
        )


def obs_columns(board: Board) -> set[str]:
    """Return the ``obs`` columns that a board's split reads."""
    unit = None if TASKS[board.task].gene_unit else board.unit
    held_out = [SPLITTERS[name].column(board) for name in (board.split, board.matches) if name]
    perturbation = "perturbation" if board.context else None
    return {c for c in (unit, board.context, perturbation, *held_out) if c is not None}


def _check_columns(obs: pd.DataFrame, board: Board, columns: Iterable[str]) -> None:
    for column in sorted(columns):
        if column not in obs:
            raise SplitError(
                f"{board.id}: obs has no column {column!r}; it has {sorted(map(str, obs.columns))}."
                " Name it in the dataset's record or leave the board out of params.yaml."
            )


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


def build_cases(
    adata: "AnnData", roles: pd.DataFrame, board: Board, release: str
) -> Iterator[tuple[int, Case]]:
    """Cut every fold of a board into inputs and truth, one at a time."""
    cut = TASKS[board.task].cutter(adata, roles, board)
    for fold in range(int(roles["fold"].max()) + 1):
        yield fold, cut(fold, case_key(release, board, fold))


def build_case(
    adata: "AnnData", roles: pd.DataFrame, board: Board, fold: int, release: str
) -> Case:
    """Cut one fold of a board into inputs and truth."""
    cut = TASKS[board.task].cutter(adata, roles, board)
    return cut(fold, case_key(release, board, fold))


def check_roles(roles: pd.DataFrame, obs: pd.DataFrame, board: Board) -> None:
    """Raise LeakageError if a held-out group is on both sides of a fold, or a role is empty.

    Training and validation may share a group only where it is the only one that a fold can train
    on. Random boards hold out cells, so only the cells themselves are checked.
    """
    twice = roles[roles.duplicated(["cell_id", "fold"])]
    if len(twice):
        raise LeakageError(
            f"{board.id}: {len(twice)} cell(s) have two roles in one fold, first "
            f"{twice['cell_id'].iloc[0]}. Fix leaderboard/splits/{board.split}.py."
        )
    column = SPLITTERS[board.split].column(board)
    for fold, rows in roles.groupby("fold"):
        for role in SIDES if SPLITTERS[board.split].holds_out else ("test",):
            if not (rows["role"] == role).any():
                raise LeakageError(f"{board.id}, fold {fold}: no cell has the role {role}.")
        if column is not None:
            _check_disjoint(_values(rows, obs, column), f"{board.id}, fold {fold}", board, column)
        if column == "perturbation":
            _check_combinations(_values(rows, obs, column), f"{board.id}, fold {fold}", board)
        if board.context is not None:
            _check_controls(rows, obs, board)


def _values(rows: pd.DataFrame, obs: pd.DataFrame, column: str) -> dict[str, set[str]]:
    """Return the values of a column by side of one fold."""
    value = obs.loc[rows["cell_id"], column].astype(str).to_numpy()
    return {role: set(value[rows["role"] == role]) for role in SIDES}


def _check_disjoint(groups: Mapping[str, set[str]], where: str, board: Board, column: str) -> None:
    pairs = [("train", "test"), ("validation", "test")]
    if len(groups["train"] | groups["validation"]) > 1:
        pairs.append(("train", "validation"))
    for one, other in pairs:
        shared = sorted(groups[one] & groups[other])
        if shared:
            raise LeakageError(
                f"{where}: {len(shared)} value(s) of {column} are in {one} and in "
                f"{other}: {shared[:5]}. Fix leaderboard/splits/{board.split}.py, then "
                "`dvc repro split`."
            )


def _check_combinations(groups: Mapping[str, set[str]], where: str, board: Board) -> None:
    """Raise LeakageError if a combination that is trained on contains a held-out single."""
    trained = groups["train"] | groups["validation"]
    showing = sorted(p for p in trained if "+" in p and groups["test"] & set(p.split("+")))
    if showing:
        raise LeakageError(
            f"{where}: {len(showing)} combination(s) in training contain a held-out single: "
            f"{showing[:5]}. Fix leaderboard/splits/{board.split}.py, then `dvc repro split`."
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
