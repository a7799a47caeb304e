"""Compute what a release freezes: split digests and the constants of boards."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from leaderboard.cases import check_roles, digest, draw, split_name
from leaderboard.errors import FreezeError
from leaderboard.io import as_plain
from leaderboard.score import metrics_of
from leaderboard.spec import Board, FoldRule
from leaderboard.tasks import TASKS

if TYPE_CHECKING:
    from anndata import AnnData

RTOL = 1e-6


def split_digests(obs: pd.DataFrame, boards: Sequence[Board], rule: FoldRule) -> dict[str, str]:
    """Return the digest of every board's split, by the split's name."""
    digests = {}
    for board in boards:
        roles, strata = draw(obs, board, rule)
        check_roles(roles, obs, board)
        digests[split_name(board)] = digest(roles, strata)
    return digests


def board_constants(
    adata: "AnnData", roles: pd.DataFrame, strata: pd.DataFrame, board: Board
) -> dict[str, Any]:
    """Return the constants of one board, rounded as they are frozen."""
    found = TASKS[board.task].freeze(adata, roles, board, metrics_of(board.task))
    return as_plain(found | ({"strata": _by_fold(strata)} if len(strata) else {}))


def _by_fold(strata: pd.DataFrame) -> dict[str, dict[str, list[str]]]:
    """Return stratum to fold to sorted units."""
    found: dict[str, dict[str, list[str]]] = {}
    for row in strata.itertuples(index=False):
        found.setdefault(str(row.stratum), {}).setdefault(str(row.fold), []).append(str(row.unit))
    return {
        name: {k: sorted(units) for k, units in sorted(by_fold.items())}
        for name, by_fold in sorted(found.items())
    }


def check_constants(frozen: Mapping[str, Any], found: Mapping[str, Any], board: str) -> None:
    """Raise FreezeError unless recomputed constants equal the frozen ones (rtol 1e-6)."""
    different = sorted(_differences(frozen, found, board))
    if different:
        raise FreezeError(
            f"{board}: {len(different)} frozen constant(s) differ from what the code computes: "
            f"{'; '.join(different[:3])}. Undo the change to metric or data; or set a new "
            "`release` in params.yaml and run `heldout freeze --all`."
        )


def _differences(frozen: Any, found: Any, path: str) -> list[str]:
    if isinstance(frozen, Mapping) and isinstance(found, Mapping):
        keys = sorted({*frozen, *found})
        return [
            line
            for key in keys
            for line in _differences(frozen.get(key), found.get(key), f"{path}.{key}")
        ]
    if isinstance(frozen, float | int) and isinstance(found, float | int):
        same = bool(np.isclose(frozen, found, rtol=RTOL, atol=1e-9))
    else:
        same = frozen == found
    return [] if same else [f"{path}: frozen {frozen!r}, computed {found!r}"]
