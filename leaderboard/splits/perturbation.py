"""New interventions: no single perturbation is on both sides, and no combination is used."""

import pandas as pd

from leaderboard.spec import SplitRequest, Splitter
from leaderboard.splits._rules import (
    fold_of_group,
    perturbed,
    roles_of_groups,
    tidy,
    with_controls,
)

SINGLES_PER_FOLD = 8


def _assign(obs: pd.DataFrame, request: SplitRequest) -> pd.DataFrame:
    """K-fold over single perturbations, K = min(k, n // 8).

    Combinations are left out of every fold: one that contains a held-out single would show it, and
    the others would make the training sets of the folds differ in kind.
    """
    cells = perturbed(obs, request)
    single = cells["perturbation"].astype(str)
    single = single[~single.str.contains("+", regex=False)]
    n_folds = min(request.rule.k, single.nunique() // SINGLES_PER_FOLD)
    fold_of = fold_of_group(single, request.rule.seed, n_folds, "perturbation")
    roles = roles_of_groups(single, fold_of, request.rule, "perturbation")
    return tidy(with_controls(roles, obs, request))


def _strata(obs: pd.DataFrame, roles: pd.DataFrame, unit: str) -> pd.DataFrame:
    test = roles[roles["role"] == "test"]
    units = test.assign(unit=obs.loc[test["cell_id"], unit].astype(str).to_numpy())
    return units[["fold", "unit"]].drop_duplicates().assign(stratum="unseen_single")


SPLITTER = Splitter(name="perturbation", assign=_assign, column="perturbation", strata=_strata)
