"""Cells held out at random inside the units of a grouped split: what leakage would look like."""

import numpy as np
import pandas as pd

from leaderboard.errors import SplitError
from leaderboard.spec import BoardLine, SplitRequest, Splitter
from leaderboard.splits import SPLITTERS
from leaderboard.splits._controls import with_controls
from leaderboard.splits._rules import generator, tidy

WITHOUT_TWIN = ("combination", "random")
"""Splits that no random split copies: a combination is tested in several folds."""
PERTURBED = ["train", "validation", "test"]


def _assign(obs: pd.DataFrame, request: SplitRequest) -> pd.DataFrame:
    """Copy the fold sizes of the grouped split, but deal the cells of every group to all folds.

    Groups are those of the grouped split; on perturbation boards they are the cells of one
    perturbation in one context. Each group's cells are cut in proportion to the sizes of the
    grouped split's test sets, and validation and unused cells are as many as its own, so that a
    fold trains on as many cells as its grouped twin. Control cells are halved as in every split.
    """
    twin = _twin(obs, request)
    test = twin[twin["role"] == "test"]
    sizes = test.groupby("fold").size().sort_index().to_numpy()
    group = _groups(obs.loc[test["cell_id"]].sort_index(), request)
    fold = _deal(group, sizes / sizes.sum(), request.rule.seed)
    held = twin[twin["role"] == "validation"].groupby("fold").size()
    used = twin.groupby("fold").size()
    parts = [
        _roles(fold, k, int(held[k]), len(fold) - int(used[k]), request.rule.seed)
        for k in range(len(sizes))
    ]
    return tidy(with_controls(pd.concat(parts, ignore_index=True), obs, request))


def _twin(obs: pd.DataFrame, request: SplitRequest) -> pd.DataFrame:
    """Return the roles that the grouped split gives to the cells that are no controls."""
    if request.matches is None:
        raise SplitError("random: `matches` must name the grouped split whose sizes it copies.")
    if request.matches in WITHOUT_TWIN:
        raise SplitError(
            f"random: {request.matches!r} has no random twin: it does not test every cell exactly "
            "once. Leave this board out of params.yaml."
        )
    roles = SPLITTERS[request.matches].assign(obs, request)
    return roles[roles["role"].isin(PERTURBED)]


def _groups(cells: pd.DataFrame, request: SplitRequest) -> "pd.Series[str]":
    if request.context is not None:
        pairs = [cells[c].astype(str) for c in ("perturbation", request.context)]
        return pairs[0] + "\x1f" + pairs[1]
    line = BoardLine(task=request.task, split=str(request.matches), unit="")
    return cells[str(SPLITTERS[line.split].column(line))].astype(str)


def _deal(group: "pd.Series[str]", share: np.ndarray, seed: int) -> "pd.Series[int]":
    fold = pd.Series(-1, index=group.index)
    for name in np.unique(group):
        cells = group.index[group == name]
        order = generator(seed, "random", name).permutation(len(cells))
        cuts = np.round(np.cumsum(share) * len(cells))
        fold[cells[order]] = np.searchsorted(cuts, np.arange(len(cells)), side="right")
    return fold


def _roles(
    fold: "pd.Series[int]", k: int, n_validation: int, n_unused: int, seed: int
) -> pd.DataFrame:
    rest = np.flatnonzero(fold != k)
    n = min(n_validation, len(rest) - 1)
    order = generator(seed, "random", "validation", k).permutation(rest)
    role = np.where(fold == k, "test", "train").astype(object)
    role[order[:n]] = "validation"
    role[order[n : min(n + n_unused, len(rest) - 1)]] = "unused"
    table = pd.DataFrame({"cell_id": fold.index, "fold": k, "role": role})
    return table[table["role"] != "unused"]


SPLITTER = Splitter(name="random", assign=_assign, column=lambda _board: None)
