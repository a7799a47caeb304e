"""New interventions: no single perturbation is on both sides, and no combination is used."""

import pandas as pd

from leaderboard.spec import SplitRequest, Splitter
from leaderboard.splits._controls import perturbed, with_controls
from leaderboard.splits._perturbations import fold_of_single, read_names
from leaderboard.splits._rules import roles_of_groups, tidy


def _assign(obs: pd.DataFrame, request: SplitRequest) -> pd.DataFrame:
    """K-fold over single perturbations, K = min(k, n // 8) and at least 2, in all contexts at once.

    Combinations are left out of every fold: one that contains a held-out single would show it, and
    the others would make the training sets of the folds differ in kind.
    """
    name = perturbed(obs, request)["perturbation"].astype(str)
    single = name[name.isin(read_names(name).singles)]
    fold_of = fold_of_single(single, request.rule)
    roles = roles_of_groups(single, fold_of, request.rule, "perturbation")
    return tidy(with_controls(roles, obs, request))


def _strata(obs: pd.DataFrame, roles: pd.DataFrame, unit: str) -> pd.DataFrame:
    test = roles[roles["role"] == "test"]
    units = test.assign(unit=obs.loc[test["cell_id"], unit].astype(str).to_numpy())
    return units[["fold", "unit"]].drop_duplicates().assign(stratum="unseen_single")


SPLITTER = Splitter(
    name="perturbation", assign=_assign, column=lambda _board: "perturbation", strata=_strata
)
