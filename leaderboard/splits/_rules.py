"""What every split shares: groups to folds, folds to roles, controls to halves."""

import hashlib
from collections.abc import Iterable

import numpy as np
import pandas as pd

from leaderboard.errors import SplitError
from leaderboard.spec import CONTROL, FoldRule, SplitRequest, Splitter

MIN_GROUPS = 3
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
            "(test, validation, train) and 2 folds are needed. Leave this board out of params.yaml."
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


def control_halves(obs: pd.DataFrame, context: str, seed: int) -> "pd.Series[str]":
    """Halve the control cells of every context once, by a seeded hash of the cell id."""
    controls = obs[obs["perturbation"].astype(str) == CONTROL]
    key = str(seed).encode()
    hashed = pd.DataFrame(
        {
            "context": controls[context].astype(str).to_numpy(),
            "hash": [hashlib.blake2b(str(c).encode(), key=key).hexdigest() for c in controls.index],
        }
    )
    rank = hashed.groupby("context")["hash"].rank()
    size = hashed.groupby("context")["hash"].transform("size")
    is_input = (rank <= (size + 1) // 2).to_numpy()
    role = np.where(is_input, "control_input", "control_truth").astype(object)
    return pd.Series(role, index=controls.index)


def roles_of_groups(
    group: "pd.Series[str]", fold_of: "pd.Series[int]", rule: FoldRule, name: str
) -> pd.DataFrame:
    """Give every cell a role in every fold, from the fold in which its group is tested."""
    parts = []
    for fold in range(int(fold_of.max()) + 1):
        test = set(fold_of.index[fold_of == fold])
        validation = validation_groups(set(fold_of.index) - test, rule, name, fold)
        role = np.where(
            group.isin(test), "test", np.where(group.isin(validation), "validation", "train")
        )
        parts.append(pd.DataFrame({"cell_id": group.index, "fold": fold, "role": role}))
    return pd.concat(parts, ignore_index=True)


def with_controls(roles: pd.DataFrame, obs: pd.DataFrame, request: SplitRequest) -> pd.DataFrame:
    """Add the halved control cells, alike in every fold, to a perturbation split."""
    if request.context is None:
        return roles
    halves = control_halves(obs, request.context, request.rule.seed)
    folds = range(int(roles["fold"].max()) + 1)
    added = [
        pd.DataFrame({"cell_id": halves.index, "fold": fold, "role": halves.to_numpy()})
        for fold in folds
    ]
    return pd.concat([roles, *added], ignore_index=True)


def perturbed(obs: pd.DataFrame, request: SplitRequest) -> pd.DataFrame:
    """Leave out control cells where the task treats them apart."""
    if request.context is None:
        return obs
    return obs[obs["perturbation"].astype(str) != CONTROL]


def tidy(roles: pd.DataFrame) -> pd.DataFrame:
    """Sort rows and fix types, so that equal splits are equal tables."""
    roles = roles.sort_values(["fold", "cell_id"], kind="stable").reset_index(drop=True)
    return roles.astype({"cell_id": str, "fold": "int16", "role": str})


def assign_groups(obs: pd.DataFrame, request: SplitRequest, column: str) -> pd.DataFrame:
    """Cut the values of one ``obs`` column into folds; every value is tested exactly once."""
    cells = perturbed(obs, request)
    group = cells[column].astype(str)
    n_folds = n_group_folds(group.nunique(), request.rule.k)
    fold_of = fold_of_group(group, request.rule.seed, n_folds, column)
    return tidy(with_controls(roles_of_groups(group, fold_of, request.rule, column), obs, request))


def group_splitter(name: str, column: str) -> Splitter:
    """Return the splitter that never puts one value of ``column`` on both sides."""
    return Splitter(
        name=name,
        assign=lambda obs, request: assign_groups(obs, request, column),
        column=column,
    )
