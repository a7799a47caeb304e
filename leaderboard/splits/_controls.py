"""Control cells of perturbation boards: halved once, alike in every fold, never tested."""

import hashlib

import numpy as np
import pandas as pd

from leaderboard.errors import SplitError
from leaderboard.spec import CONTROL, SplitRequest


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


def with_controls(roles: pd.DataFrame, obs: pd.DataFrame, request: SplitRequest) -> pd.DataFrame:
    """Add the halved control cells, alike in every fold, to a perturbation split.

    Raises
    ------
    SplitError
        If a context that is used has fewer than two control cells, so that one half is empty.
    """
    if request.context is None:
        return roles
    halves = control_halves(obs, request.context, request.rule.seed)
    _check_halves(halves, obs[request.context].astype(str), roles["cell_id"])
    folds = range(int(roles["fold"].max()) + 1)
    added = [
        pd.DataFrame({"cell_id": halves.index, "fold": fold, "role": halves.to_numpy()})
        for fold in folds
    ]
    return pd.concat([roles, *added], ignore_index=True)


def _check_halves(
    halves: "pd.Series[str]", context: "pd.Series[str]", used: "pd.Series[str]"
) -> None:
    n_controls = context[halves.index].value_counts()
    lacking = sorted(c for c in context[used.unique()].unique() if n_controls.get(c, 0) < 2)
    if lacking:
        raise SplitError(
            f"{len(lacking)} {context.name} value(s) have fewer than 2 control cells, one for the "
            f"inputs and one for the truth: {lacking[:5]}. Leave them out by `where`."
        )


def perturbed(obs: pd.DataFrame, request: SplitRequest) -> pd.DataFrame:
    """Leave out control cells where the task treats them apart."""
    if request.context is None:
        return obs
    return obs[obs["perturbation"].astype(str) != CONTROL]
