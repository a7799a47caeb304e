"""Cells held out at random inside the units of a grouped split: what leakage would look like."""

import numpy as np
import pandas as pd

from leaderboard.errors import SplitError
from leaderboard.spec import SplitRequest, Splitter
from leaderboard.splits import SPLITTERS
from leaderboard.splits._rules import generator, tidy


def _assign(obs: pd.DataFrame, request: SplitRequest) -> pd.DataFrame:
    """Copy the fold sizes of the grouped split, but deal the cells of every group to all folds.

    Each group's cells are cut in proportion to the sizes of the grouped split's test sets, so that
    a fold trains on as many cells as its grouped twin.
    """
    if request.matches is None:
        raise SplitError("random: `matches` must name the grouped split whose sizes it copies.")
    if request.context is not None:
        raise SplitError(
            "random: a perturbation board has no random twin, because its control cells are halved "
            "and not held out. Leave this board out of params.yaml."
        )
    grouped = SPLITTERS[request.matches]
    twin = grouped.assign(obs, request)
    sizes = twin[twin["role"] == "test"].groupby("fold").size().sort_index().to_numpy()
    group = obs[str(grouped.column)].astype(str).sort_index()
    fold = _deal(group, sizes / sizes.sum(), request.rule.seed)
    held = twin[twin["role"] == "validation"].groupby("fold").size()
    parts = [_roles(fold, k, int(held[k]), request.rule.seed) for k in range(len(sizes))]
    return tidy(pd.concat(parts, ignore_index=True))


def _deal(group: "pd.Series[str]", share: np.ndarray, seed: int) -> "pd.Series[int]":
    fold = pd.Series(-1, index=group.index)
    for name in np.unique(group):
        cells = group.index[group == name]
        order = generator(seed, "random", name).permutation(len(cells))
        cuts = np.round(np.cumsum(share) * len(cells))
        fold[cells[order]] = np.searchsorted(cuts, np.arange(len(cells)), side="right")
    return fold


def _roles(fold: "pd.Series[int]", k: int, n_validation: int, seed: int) -> pd.DataFrame:
    rest = np.flatnonzero(fold != k)
    n = min(n_validation, len(rest) - 1)
    rng = generator(seed, "random", "validation", k)
    role = np.where(fold == k, "test", "train").astype(object)
    role[rng.permutation(rest)[:n]] = "validation"
    return pd.DataFrame({"cell_id": fold.index, "fold": k, "role": role})


SPLITTER = Splitter(name="random", assign=_assign, column=None)
