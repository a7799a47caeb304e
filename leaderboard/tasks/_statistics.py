"""Sufficient statistics of a perturbation board: one pass over the cells, and no second."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from jaxtyping import Float, Int, Shaped

from leaderboard.profiles import Counts, cell_scale, log_counts_of, size_factors
from leaderboard.spec import CONTROL, Board
from leaderboard.tasks._moments import Moments, moments_of, target_columns

if TYPE_CHECKING:
    from anndata import AnnData

N_BLOCKS = 10
"""Random parts of the cells of a perturbation: 126 ways to halve them."""
CONTROL_BLOCK = 5
"""Cells in a part of the controls, so that some parts can play a perturbation of any size."""
ABSENT = ""
Table = Float[np.ndarray, "rows genes"]


@dataclass(frozen=True, kw_only=True)
class Statistics:
    """Sums of log-normalised counts over cells that no fold of a board tells apart.

    An atom is a set of cells with one perturbation, context, unit, and one role in every fold. Its
    cells are dealt to blocks at random, and sums are kept by block: every half, re-split or null of
    a score is a choice of blocks, and never looks at a cell again.
    """

    target_sum: float
    genes: tuple[str, ...]
    perturbation: Shaped[np.ndarray, " atoms"]
    context: Shaped[np.ndarray, " atoms"]
    unit: Shaped[np.ndarray, " atoms"]
    role: Shaped[np.ndarray, "atoms folds"]
    """Validation counts as training; '' where a fold does not use the atom."""
    square: Float[np.ndarray, "atoms genes"]
    block_atom: Int[np.ndarray, " blocks"]
    """Sorted."""
    block_n: Int[np.ndarray, " blocks"]
    block_total: Float[np.ndarray, "blocks genes"]

    @cached_property
    def n(self) -> Int[np.ndarray, " atoms"]:
        """Number of cells of every atom."""
        counted: Int[np.ndarray, " atoms"] = np.add.reduceat(self.block_n, self._start)
        return counted

    @cached_property
    def total(self) -> Float[np.ndarray, "atoms genes"]:
        """Sum over the cells of every atom."""
        summed: Float[np.ndarray, "atoms genes"] = np.add.reduceat(self.block_total, self._start)
        return summed

    @cached_property
    def _start(self) -> Int[np.ndarray, " atoms"]:
        return np.searchsorted(self.block_atom, np.arange(len(self.perturbation)))

    def atoms_of_groups(self, fold: int) -> pd.DataFrame:
        """Return ``role perturbation context unit atom``, one row an atom that the fold uses."""
        atoms = np.flatnonzero(self.role[:, fold] != ABSENT)
        table = pd.DataFrame(
            {
                "role": self.role[atoms, fold],
                "perturbation": self.perturbation[atoms],
                "context": self.context[atoms],
                "unit": self.unit[atoms],
                "atom": atoms,
            }
        )
        keys = ["role", "perturbation", "context", "unit"]
        table = table.sort_values([*keys, "atom"], ignore_index=True)
        return table.assign(group=table.groupby(keys, sort=False).ngroup())

    def tables(self, fold: int) -> tuple[pd.DataFrame, pd.DataFrame]:
        """Return the groups of one fold with their n, and mean and variance of every gene."""
        members = self.atoms_of_groups(fold)
        atom, start = members["atom"].to_numpy(), _starts(members["group"].to_numpy())
        n = np.add.reduceat(self.n[atom], start)
        mean = np.add.reduceat(self.total[atom], start) / n[:, None]
        square = np.add.reduceat(self.square[atom], start)
        with np.errstate(invalid="ignore", divide="ignore"):
            variance = np.maximum(square - n[:, None] * mean**2, 0.0) / (n - 1)[:, None]
        variance[n < 2] = np.nan
        groups = members.iloc[start].drop(columns=["atom", "group"]).reset_index(drop=True)
        return groups.assign(n=n), gene_table(self.genes, {"mean": mean, "variance": variance})


def gene_table(genes: tuple[str, ...], blocks: Mapping[str, Table]) -> pd.DataFrame:
    """Return ``gene`` and a column ``<statistic>:<group>`` each.

    Genes are rows: a file of nine thousand columns takes parquet a second to read.
    """
    columns = {
        f"{statistic}:{k}": row
        for statistic, block in blocks.items()
        for k, row in enumerate(block)
    }
    return pd.DataFrame({"gene": list(genes), **columns})


def _starts(group: Int[np.ndarray, " rows"]) -> Int[np.ndarray, " groups"]:
    return np.flatnonzero(np.diff(group, prepend=-1))


@dataclass(frozen=True, kw_only=True)
class FoldStatistics:
    """One fold: the moments of its groups, and the blocks that each group is made of."""

    number: int
    moments: Moments
    blocks: tuple[Int[np.ndarray, " members"], ...]
    """Rows of ``block_n`` and ``block_total``, one array a group."""
    block_n: Int[np.ndarray, " blocks"]
    block_total: Float[np.ndarray, "blocks genes"]
    """Targets of the panel removed."""

    def means(self, chosen: Mapping[int, Int[np.ndarray, " members"]]) -> Table:
        """Return the mean over chosen blocks of each group; NaN for a group with none."""
        means = np.full((len(self.blocks), self.block_total.shape[1]), np.nan)
        for group, rows in chosen.items():
            n = self.block_n[rows].sum()
            if n:
                means[group] = self.block_total[rows].sum(axis=0) / n
        return means


def fold_statistics(statistics: Statistics, fold: int) -> FoldStatistics:
    """Return the view of one fold."""
    members = statistics.atoms_of_groups(fold)
    start = np.searchsorted(statistics.block_atom, np.arange(len(statistics.perturbation) + 1))
    blocks = tuple(
        np.concatenate([np.arange(start[a], start[a + 1]) for a in atoms])
        for _, atoms in members.groupby("group")["atom"]
    )
    moments = moments_of(*statistics.tables(fold))
    keep = ~target_columns(statistics.genes, statistics.perturbation)
    return FoldStatistics(
        number=fold,
        moments=moments,
        blocks=blocks,
        block_n=statistics.block_n,
        block_total=statistics.block_total[:, keep],
    )


def measure(adata: "AnnData", roles: pd.DataFrame, board: Board) -> Statistics:
    """Sum the cells of a board by block; rows are read an atom at a time, never densified.

    The target sum is the median size factor of the control cells that inputs hold; they are the
    same in every fold.
    """
    by_fold = _roles_by_fold(roles)
    obs = adata.obs.loc[by_fold.index]
    position = pd.Series(np.arange(adata.n_obs), index=adata.obs_names).loc[obs.index].to_numpy()
    factor = size_factors(adata.X, adata.obs, board.size_factor)
    is_control = (by_fold.iloc[:, 0] == "control_input").to_numpy()
    target_sum = float(np.median(factor[position[is_control]]))
    atoms, number = _number_atoms(obs, by_fold, board)
    block = _deal_blocks(number, (atoms["perturbation"] == CONTROL).to_numpy())
    order = np.lexsort((block, number))
    block_atom, block_n, total, square = _sum_blocks(
        adata.X, position[order], (number[order], block[order]), cell_scale(factor, target_sum)
    )
    return Statistics(
        target_sum=target_sum,
        genes=tuple(map(str, adata.var_names)),
        perturbation=atoms["perturbation"].to_numpy(dtype=str),
        context=atoms["context"].to_numpy(dtype=str),
        unit=atoms["unit"].to_numpy(dtype=str),
        role=atoms[list(by_fold.columns)].to_numpy(dtype=str),
        square=square,
        block_atom=block_atom,
        block_n=block_n,
        block_total=total,
    )


def _roles_by_fold(roles: pd.DataFrame) -> pd.DataFrame:
    """Return a row a cell, sorted by id, and a column a fold; validation counts as training."""
    role = roles["role"].astype(str).replace({"validation": "train"})
    wide = roles.assign(role=role).pivot_table(
        index="cell_id", columns="fold", values="role", aggfunc="first"
    )
    return wide.sort_index().fillna(ABSENT)


def _number_atoms(
    obs: pd.DataFrame, by_fold: pd.DataFrame, board: Board
) -> tuple[pd.DataFrame, Int[np.ndarray, " cells"]]:
    table = by_fold.reset_index(drop=True)
    table.insert(0, "perturbation", obs["perturbation"].to_numpy(dtype=str))
    table.insert(1, "context", obs[str(board.context)].to_numpy(dtype=str))
    unit = obs[board.unit].to_numpy(dtype=str)
    table.insert(2, "unit", np.where(table["perturbation"] == CONTROL, "", unit))
    keys = list(table.columns)
    number = table.groupby(keys, sort=True).ngroup().to_numpy()
    atoms = table.iloc[np.unique(number, return_index=True)[1]].reset_index(drop=True)
    return atoms, number


def _deal_blocks(number: Int[np.ndarray, " cells"], is_control: Any) -> Int[np.ndarray, " cells"]:
    """Deal the cells of every atom to its blocks at random, as evenly as they go.

    Cells come sorted by id, so their order in the dataset cannot matter.
    """
    order = np.lexsort((np.random.default_rng(0).random(len(number)), number))
    size = np.bincount(number)
    n_blocks = np.where(is_control, np.maximum(size // CONTROL_BLOCK, N_BLOCKS), N_BLOCKS)
    start = np.concatenate([[0], np.cumsum(size)[:-1]])
    place = np.empty(len(number), dtype=np.int64)
    place[order] = np.arange(len(number)) - start[number[order]]
    dealt: Int[np.ndarray, " cells"] = place % n_blocks[number]
    return dealt


def _sum_blocks(
    counts: Counts,
    cells: Int[np.ndarray, " cells"],
    place: tuple[Int[np.ndarray, " cells"], Int[np.ndarray, " cells"]],
    scale: Float[np.ndarray, " all_cells"],
) -> tuple[Int[np.ndarray, " blocks"], Int[np.ndarray, " blocks"], Table, Table]:
    """Sum rows that come sorted by atom and block; squares are summed by atom."""
    atom, block = place
    first = np.flatnonzero((np.diff(atom, prepend=-1) != 0) | (np.diff(block, prepend=-1) != 0))
    last = np.append(first[1:], len(atom))
    n_genes = counts.shape[1]
    total, square = np.empty((len(first), n_genes)), np.empty((int(atom[-1]) + 1, n_genes))
    edges = np.append(np.flatnonzero(np.diff(atom, prepend=-1)), len(atom))
    done = 0
    for number, (low, high) in enumerate(pairwise(edges)):
        rows, values = log_counts_of(counts, cells[low:high], scale)
        square[number] = np.bincount(rows.indices, values * values, n_genes)
        while done < len(first) and first[done] < high:
            part = slice(rows.indptr[first[done] - low], rows.indptr[last[done] - low])
            total[done] = np.bincount(rows.indices[part], values[part], n_genes)
            done += 1
    return atom[first], last - first, total, square
