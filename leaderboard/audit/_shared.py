"""Cells that two datasets share: equal counts on the genes that both measure.

Two files of one experiment often keep other genes, in another order, so that no cell of one equals
a cell of the other in full. Hashes are therefore taken on the intersected genes, for every pair of
datasets, from one pass over each.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Int, UInt64
from scipy import sparse

from leaderboard.audit._chance import log_chance, log_threshold
from leaderboard.audit._duplicates import LEVEL, MIN_COUNTS
from leaderboard.audit._hashing import gene_coefficients, hash_block, iterate_rows, take_rows
from leaderboard.audit._record import ALL_FOLDS, N_IDS, Finding
from leaderboard.cases import select
from leaderboard.spec import Board

MIN_GENES = 200
COLUMNS = ["dataset", "cell_id", "other_dataset", "other_cell_id"]


@dataclass(frozen=True, kw_only=True)
class CellCounts:
    """The counts of one dataset, in memory or in a file that gives rows by slices."""

    counts: Any
    cells: Sequence[str]
    genes: Sequence[str]


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """What comparing two datasets came to."""

    one: str
    other: str
    n_genes: int
    """Measured in both; below ``MIN_GENES`` nothing is compared."""
    n_compared: tuple[int, int]
    """Cells with at least ``MIN_COUNTS`` counts on these genes."""
    n_shared: tuple[int, int]
    """Cells of each that the other holds too."""


@dataclass(frozen=True, kw_only=True)
class _Side:
    """What one dataset is on the genes that it has in common with another."""

    hashes: UInt64[np.ndarray, "cells 2"]
    rows: Int[np.ndarray, " cells"]
    """Rows of the cells that are compared."""


def find_shared(
    datasets: Mapping[str, CellCounts],
) -> tuple[list[Comparison], pd.DataFrame]:
    """Compare every pair of datasets.

    Returns
    -------
    One comparison a pair, and one row for every two equal cells: ``dataset cell_id other_dataset
    other_cell_id``, in both directions, sorted.
    """
    pairs = list(combinations(sorted(datasets), 2))
    shared = {
        pair: sorted(set(datasets[pair[0]].genes) & set(datasets[pair[1]].genes)) for pair in pairs
    }
    usable = {pair: genes for pair, genes in shared.items() if len(genes) >= MIN_GENES}
    sides = {name: _sides(datasets[name], name, usable) for name in sorted(datasets)}
    found, tables = [], [pd.DataFrame(columns=COLUMNS)]
    for pair in pairs:
        table = pd.DataFrame(columns=COLUMNS)
        n_compared = (0, 0)
        if pair in usable:
            one, other = (sides[name][pair] for name in pair)
            n_compared = (len(one.rows), len(other.rows))
            table = _equal_cells(datasets, pair, (one, other), usable[pair])
        n_shared = (table["cell_id"].nunique(), table["other_cell_id"].nunique())
        found.append(
            Comparison(
                one=pair[0],
                other=pair[1],
                n_genes=len(shared[pair]),
                n_compared=n_compared,
                n_shared=n_shared,
            )
        )
        tables += [table, _turned(table)]
    return found, pd.concat(tables).sort_values(COLUMNS, ignore_index=True)


def _sides(
    data: CellCounts, name: str, usable: Mapping[tuple[str, str], list[str]]
) -> dict[tuple[str, str], _Side]:
    """Hash a dataset on the genes of every pair that it is in, in one pass over its counts."""
    pairs = [pair for pair in usable if name in pair]
    if not pairs:
        return {}
    own, genes = gene_coefficients(data.genes), pd.Index(data.genes)
    masks = [np.asarray(genes.isin(usable[pair]), dtype=np.uint64)[:, None] for pair in pairs]
    columns = np.hstack([np.hstack([own * mask, mask]) for mask in masks])
    sums = np.vstack(
        [hash_block(block, columns) for _, block in iterate_rows(data.counts)]
        or [np.empty((0, columns.shape[1]), dtype=np.uint64)]
    )
    sides = {}
    for number, pair in enumerate(pairs):
        part = sums[:, 3 * number : 3 * number + 3]
        rows = np.flatnonzero(part[:, 2] >= MIN_COUNTS)
        sides[pair] = _Side(hashes=part[rows, :2], rows=rows)
    return sides


def _equal_cells(
    datasets: Mapping[str, CellCounts],
    pair: tuple[str, str],
    sides: tuple[_Side, _Side],
    genes: Sequence[str],
) -> pd.DataFrame:
    """Return the pairs of equal cells that chance does not make."""
    tables = [
        pd.DataFrame({"h0": side.hashes[:, 0], "h1": side.hashes[:, 1], "row": side.rows})
        for side in sides
    ]
    met = tables[0].merge(tables[1], on=["h0", "h1"], suffixes=("", "_other"))
    rows = met["row"].to_numpy(dtype=np.int64)
    distinct, where = np.unique(rows, return_inverse=True)
    one = datasets[pair[0]]
    kept = np.flatnonzero(pd.Index(one.genes).isin(list(genes)))
    values = sparse.csr_matrix(take_rows(one.counts, distinct)[:, kept], dtype=np.float64)
    limit = log_threshold(LEVEL, float(len(sides[0].rows)) * len(sides[1].rows))
    met = met[(log_chance(values, values) <= limit)[where]]
    names = [np.asarray(datasets[name].cells, dtype=object).astype(str) for name in pair]
    return pd.DataFrame(
        {
            "dataset": pair[0],
            "cell_id": names[0][met["row"].to_numpy(dtype=np.int64)],
            "other_dataset": pair[1],
            "other_cell_id": names[1][met["row_other"].to_numpy(dtype=np.int64)],
        },
        columns=COLUMNS,
    )


def _turned(table: pd.DataFrame) -> pd.DataFrame:
    """Return the rows with both sides swapped."""
    return table[[*COLUMNS[2:], *COLUMNS[:2]]].set_axis(COLUMNS, axis=1)


def report_shared(
    dataset: str,
    boards: Sequence[Board],
    obs: pd.DataFrame,
    comparisons: Sequence[Comparison],
    table: pd.DataFrame,
) -> dict[str, Any]:
    """Return what the pages of a dataset need: findings a board, and every comparison.

    Parameters
    ----------
    obs
        Of the clean dataset, for the cells that a board uses.
    comparisons, table
        As ``find_shared`` returns them.
    """
    own = table[table["dataset"] == dataset]
    genes = {
        ({c.one, c.other} - {dataset}).pop(): c.n_genes
        for c in comparisons
        if dataset in (c.one, c.other)
    }
    findings = [f for board in boards for f in _findings(board, obs, own, genes)]
    return {
        "findings": [asdict(f) | {"ids": list(f.ids)} for f in findings],
        "comparisons": [_comparison(dataset, other, comparisons, own) for other in sorted(genes)],
    }


def _findings(
    board: Board, obs: pd.DataFrame, own: pd.DataFrame, genes: Mapping[str, int]
) -> list[Finding]:
    """Return a warning for every dataset that holds cells of a board, or an ok."""
    on_board = own[own["cell_id"].isin(select(obs, board).index)]
    found = [
        _finding(
            board,
            "warning",
            rows["cell_id"],
            f"{rows['cell_id'].nunique()} cell(s) are also in {other} (equal counts on "
            f"{genes[str(other)]} shared genes): a model that saw {other} has seen them",
        )
        for other, rows in on_board.groupby("other_dataset")
    ]
    compared = sorted(name for name, n in genes.items() if n >= MIN_GENES)
    said = (
        f"no cell(s) that {', '.join(compared)} hold(s) too"
        if compared
        else (f"no other dataset of the suite shares {MIN_GENES} genes with this one")
    )
    return found or [_finding(board, "ok", pd.Series(dtype=str), said)]


def _finding(board: Board, severity: Any, cells: "pd.Series[str]", message: str) -> Finding:
    ids = sorted(set(cells))
    return Finding(
        check="shared_cells",
        board=board.id,
        fold=ALL_FOLDS,
        severity=severity,
        n=len(ids),
        ids=tuple(ids[:N_IDS]),
        message=message,
    )


def _comparison(
    dataset: str, other: str, comparisons: Sequence[Comparison], own: pd.DataFrame
) -> dict[str, Any]:
    """Return one comparison as a dataset sees it, with the first pairs of equal cells."""
    found = next(c for c in comparisons if {c.one, c.other} == {dataset, other})
    step = 1 if found.one == dataset else -1
    rows = own[own["other_dataset"] == other]
    return {
        "dataset": other,
        "genes": found.n_genes,
        "compared": list(found.n_compared[::step]),
        "shared": list(found.n_shared[::step]),
        "first": rows[["cell_id", "other_cell_id"]].head(N_IDS).to_numpy().tolist(),
    }
