"""In-memory ``obs`` tables, and what a splitter needs besides them."""

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import strategies as st

from leaderboard.spec import CONTROL, Board, BoardLine, FoldRule, SplitRequest, Splitter
from leaderboard.splits import SPLITTERS

RULE = FoldRule(seed=7, k=5, validation_fraction=0.15)
SIDES = ("train", "validation", "test")
CONTROL_ROLES = ["control_input", "control_truth"]
GROUP_COLUMNS = (
    *("donor_id", "batch", "tissue", "time", "condition", "disease", "cell_line", "library"),
)
"""Every column that a splitter may cut."""
CONTEXT = {"perturbation": "cell_type", "combination": "cell_type", "context": "cell_line"}
"""Splits that only perturbation boards have, and the context that they are tried on."""

seeds = st.integers(0, 2**31)
n_groups = st.integers(2, 14)
contexts = st.sampled_from([None, "cell_type"])


def line_for(splitter: Splitter, context: str | None = None) -> BoardLine:
    """Return the line of a board that the splitter can draw from ``make_obs``."""
    return BoardLine(
        task="t",
        split=splitter.name,
        unit="donor_id",
        matches="donor" if splitter.name == "random" else None,
        context=CONTEXT.get(splitter.name, context),
    )


def column_of(splitter: Splitter) -> str:
    return str(splitter.column(line_for(splitter)))


COLUMN = [s for s in SPLITTERS.values() if s.column(line_for(s)) is not None]
HOLDING_OUT = [s for s in SPLITTERS.values() if s.holds_out]
BY_GROUP = [s for s in COLUMN if column_of(s) != "perturbation"]
ONCE = [s for s in COLUMN if s.name != "combination"]


def each(splitters: Any) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("splitter", list(splitters), ids=lambda s: str(s.name))


def make_obs(groups: int, seed: int, n_singles: int = 30) -> pd.DataFrame:
    """600 cells; every group column has ``groups`` values, dealt apart from one another."""
    rng = np.random.default_rng(seed)
    n = 600
    deal = {
        column: rng.permutation(np.resize([f"{column}{i}" for i in range(groups)], n))
        for column in GROUP_COLUMNS
    }
    singles = [f"P{i:02d}" for i in range(n_singles)]
    doubles = [f"P{i:02d}+P{i + 1:02d}" for i in range(12)]
    names = [*singles, *doubles, *([CONTROL] * (n_singles // 2 + 6))]
    deal["perturbation"] = rng.permutation(np.resize(names, n))
    deal["cell_type"] = rng.permutation(np.resize(["k1", "k2"], n))
    return pd.DataFrame(deal, index=pd.Index([f"cell{i:03d}" for i in rng.permutation(n)]))


def assign(
    splitter: Splitter, obs: pd.DataFrame, context: str | None = None, seed: int = 7
) -> pd.DataFrame:
    line = line_for(splitter, context)
    request = SplitRequest(
        rule=replace(RULE, seed=seed), task="t", matches=line.matches, context=line.context
    )
    return splitter.assign(obs, request)


def perturbation_board(split: str, **more: Any) -> Board:
    given = {"context": "cell_type", "unit": "perturbation"} | more
    return Board(dataset="d", task="perturbation_prediction", split=split, **given)


def annotation_board(split: str, **more: Any) -> Board:
    given = {"unit": "donor_id"} | more
    return Board(dataset="d", task="cell_type_annotation", split=split, **given)


def values_by_role(roles: pd.DataFrame, obs: pd.DataFrame, column: str) -> dict[Any, set[str]]:
    """Return the values of a column by (fold, role)."""
    value = obs.loc[roles["cell_id"], column].astype(str).to_numpy()
    table = roles.assign(value=value).groupby(["fold", "role"])["value"]
    return {key: set(members) for key, members in table}


def sizes(roles: pd.DataFrame, role: str) -> list[int]:
    """Return the number of cells of a role by fold."""
    return [int(n) for n in roles[roles["role"] == role].groupby("fold").size()]


def no_strata() -> pd.DataFrame:
    return pd.DataFrame(columns=["fold", "unit", "stratum"])
