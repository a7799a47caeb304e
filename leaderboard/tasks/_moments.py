"""From the cells of one fold to the sufficient statistics that its scores need."""

from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Int

from leaderboard.profiles import Counts, group_moments, size_factors
from leaderboard.spec import CONTROL, Board

STATISTICS = ("mean", "variance")
GROUP = ["role", "perturbation", "context", "unit"]


def describe(obs: pd.DataFrame, role: "pd.Series[str]", board: Board) -> pd.DataFrame:
    """Return ``role perturbation context unit`` of the cells of one fold, as text.

    Validation counts as training, and control cells belong to no unit.
    """
    cells = obs.loc[role.index]
    table = pd.DataFrame(
        {
            "role": role.to_numpy(dtype=str),
            "perturbation": cells["perturbation"].to_numpy(dtype=str),
            "context": cells[str(board.context)].to_numpy(dtype=str),
            "unit": cells[board.unit].to_numpy(dtype=str),
        },
        index=role.index,
    )
    table["role"] = table["role"].replace({"validation": "train"})
    table.loc[table["perturbation"] == CONTROL, "unit"] = ""
    return table


def number_groups(cells: pd.DataFrame) -> tuple[pd.DataFrame, Int[np.ndarray, " cells"]]:
    """Return the sorted groups and the number of every cell's group."""
    groups = cells[GROUP].drop_duplicates().sort_values(GROUP).reset_index(drop=True)
    numbered = groups.reset_index(names="number")
    number = cells[GROUP].merge(numbered, how="left", on=GROUP)["number"]
    return groups, number.to_numpy(dtype=np.int64)


def moments_tables(
    values: Counts, cells: pd.DataFrame, genes: "pd.Index[str]"
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the groups with their n, and the mean and variance of every gene in every group.

    Genes are rows: a file of nine thousand columns takes parquet a second to read.
    """
    groups, number = number_groups(cells)
    n, mean, variance = group_moments(values, number, len(groups))
    blocks = [
        pd.DataFrame(block.T, columns=[f"{statistic}:{k}" for k in range(len(groups))])
        for statistic, block in zip(STATISTICS, (mean, variance), strict=True)
    ]
    names = pd.DataFrame({"gene": genes.astype(str)})
    return groups.assign(n=n), pd.concat([names, *blocks], axis=1)


def median_size_factor(counts: Any, obs: pd.DataFrame, role: Any, board: Board) -> float:
    """Return the target sum of a board: the median over the control cells that inputs hold."""
    is_control = np.asarray(role == "control_input")
    return float(np.median(size_factors(counts[is_control], obs[is_control], board.size_factor)))
