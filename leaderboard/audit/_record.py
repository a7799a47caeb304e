"""What a check of the audit is given, and what it returns."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import pandas as pd

from leaderboard.spec import Board

if TYPE_CHECKING:
    from anndata import AnnData

N_IDS = 20
ALL_FOLDS = -1
"""The fold of a finding that is about all of a board."""
Severity = Literal["ok", "warning", "error"]


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One result of one check; errors unrank a board, warnings travel to its page."""

    check: str
    board: str
    fold: int
    severity: Severity
    n: int
    ids: tuple[str, ...]
    message: str


@dataclass(frozen=True, kw_only=True)
class Copies:
    """What a search for copies among the cells of one dataset found (``find_copies``)."""

    equal: "pd.Series[str]"
    """Cells that have an equal one, to the first of them."""
    doubtful: frozenset[str]
    """Those of them with so few molecules, or in so few genes, that chance may make them equal."""
    near: pd.DataFrame
    """``one other distance``: pairs of cells that are nearly equal; of equal ones the first."""
    shallow: frozenset[str]
    """Cells with too few counts to compare."""


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
    copies: Copies | None = None
    """Of the clean dataset's cells, searched once for all folds; None: nobody searched."""


@dataclass(frozen=True, kw_only=True)
class BoardFiles:
    """What a check of a whole board looks at, once for all of its folds."""

    board: Board
    roles: pd.DataFrame
    """``cell_id fold role`` of every fold."""
    obs: pd.DataFrame
    """The clean dataset's."""
    library: str
    """What the dataset's record says of libraries: an ``obs`` column, ``single`` or ``unknown``."""
    fold: int = ALL_FOLDS


def finding(
    files: FoldFiles | BoardFiles,
    check: str,
    bad: Sequence[str],
    what: str,
    severity: Severity = "error",
) -> Finding:
    """Return an error or a warning with the first ids, or an ok if there are none."""
    ids = sorted(map(str, bad))
    return Finding(
        check=check,
        board=files.board.id,
        fold=files.fold,
        severity=severity if ids else "ok",
        n=len(ids),
        ids=tuple(ids[:N_IDS]),
        message=f"{len(ids)} {what}" if ids else f"no {what}",
    )
