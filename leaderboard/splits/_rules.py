"""What every split shares: groups to folds, folds to roles."""

import hashlib
from collections.abc import Iterable

import numpy as np
import pandas as pd

from leaderboard.errors import SplitError
from leaderboard.spec import FoldRule, SplitRequest, Splitter
from leaderboard.splits._controls import perturbed, with_controls

MIN_GROUPS = 2
LEAVE_ONE_OUT_LIMIT = 8
"""Up to this many groups each is a fold of its own."""


def generator(seed: int, *names: object) -> np.random.Generator:
    """Return a generator whose stream depends on the seed and the names, and on nothing else."""
    digest = hashlib.sha256("\x1f".join(map(str, (seed, *names))).encode()).digest()
    return np.random.default_rng(int.from_bytes(digest[:16], "big"))


def fold_of_group(groups: Iterable[str], seed: int, n_folds: int, name: str) -> "pd.Series[int]":
    """Deal sorted groups to folds at random, as evenly as their number allows."""
    names = np.unique(np.asarray(list(groups), dtype=str))
    if len(names) < MIN_GROUPS or not 2 <= n_folds <= len(names):
        raise SplitError(
            f"{name}: {n_folds} fold(s) over {len(names)} group(s); at least {MIN_GROUPS} groups "
            "(one to test, one to train on) and 2 folds are needed. Leave this board out of "
            "params.yaml."
        )
    order = generator(seed, name, "fold").permutation(len(names))
    return pd.Series(order % n_folds, index=names)


def n_group_folds(n_groups: int, k: int) -> int:
    """Leave one out for few groups, else ``k``."""
    return n_groups if n_groups <= LEAVE_ONE_OUT_LIMIT else k


def validation_groups(groups: Iterable[str], rule: FoldRule, name: str, fold: int) -> set[str]:
    """Choose the validation groups of one fold's training groups: a share, and at least one."""
    names = np.unique(np.asarray(list(groups), dtype=str))
    n = min(max(1, round(rule.validation_fraction * len(names))), len(names) - 1)
    rng = generator(rule.seed, name, "validation", fold)
    return set(names[rng.permutation(len(names))[:n]])


def validation_cells(
    cells: "pd.Index[str]", rule: FoldRule, name: str, fold: int
) -> "pd.Index[str]":
    """Choose a share of the cells of the only training group, by a seeded hash of their ids."""
    if len(cells) < 2:
        raise SplitError(
            f"{name}: fold {fold} leaves {len(cells)} cell(s) to train on, and validation needs "
            "one of its own. Leave this board out of params.yaml."
        )
    n = min(max(1, round(rule.validation_fraction * len(cells))), len(cells) - 1)
    prefix = f"{rule.seed}\x1f{name}\x1fvalidation\x1f{fold}\x1f"
    hashed = [hashlib.sha256(f"{prefix}{cell}".encode()).hexdigest() for cell in cells]
    return cells[np.argsort(np.asarray(hashed))[:n]]


def roles_of_groups(
    group: "pd.Series[str]",
    fold_of: "pd.Series[int]",
    rule: FoldRule,
    name: str,
    person: "pd.Series[str] | None" = None,
) -> pd.DataFrame:
    """Give every cell a role in every fold, from the fold in which its group is tested.

    Validation takes whole groups, so that no group is in training and in validation. Only where a
    fold has a single group to train on, validation takes a share of its cells.

    Parameters
    ----------
    person
        Of every cell. A fold leaves out the other cells of the people that it tests, unless fewer
        than two cells would be left to train and validate on.
    """
    parts = []
    for fold in range(int(fold_of.max()) + 1):
        is_test = group.isin(fold_of.index[fold_of == fold])
        rest = group[_may_train(is_test, person)]
        left = rest.unique()
        if len(left) == 1:
            is_validation = rest.index.isin(validation_cells(rest.index, rule, name, fold))
        else:
            is_validation = rest.isin(validation_groups(left, rule, name, fold)).to_numpy()
        role = np.where(is_validation, "validation", "train")
        parts += [
            pd.DataFrame({"cell_id": group.index[is_test], "fold": fold, "role": "test"}),
            pd.DataFrame({"cell_id": rest.index, "fold": fold, "role": role}),
        ]
    return pd.concat(parts, ignore_index=True)


def _may_train(is_test: "pd.Series[bool]", person: "pd.Series[str] | None") -> "pd.Series[bool]":
    rest = ~is_test
    if person is None:
        return rest
    strangers = rest & ~person.isin(person[is_test].unique())
    return strangers if strangers.sum() >= 2 else rest


def tidy(roles: pd.DataFrame) -> pd.DataFrame:
    """Sort rows and fix types, so that equal splits are equal tables."""
    roles = roles.sort_values(["fold", "cell_id"], kind="stable").reset_index(drop=True)
    return roles.astype({"cell_id": str, "fold": "int16", "role": str})


def assign_groups(
    obs: pd.DataFrame, request: SplitRequest, column: str, person: str | None = None
) -> pd.DataFrame:
    """Cut the values of one ``obs`` column into folds; every value is tested exactly once.

    Parameters
    ----------
    person
        The ``obs`` column of people who must not be on both sides, where they can be kept apart.
    """
    cells = perturbed(obs, request)
    group = cells[column].astype(str)
    n_folds = n_group_folds(group.nunique(), request.rule.k)
    fold_of = fold_of_group(group, request.rule.seed, n_folds, column)
    people = None if person is None else cells[person].astype(str)
    roles = roles_of_groups(group, fold_of, request.rule, column, people)
    return tidy(with_controls(roles, obs, request))


def group_splitter(name: str, column: str) -> Splitter:
    """Return the splitter that never has one value of ``column`` in training and in test."""
    return Splitter(
        name=name,
        assign=lambda obs, request: assign_groups(obs, request, column),
        column=lambda _board: column,
    )
