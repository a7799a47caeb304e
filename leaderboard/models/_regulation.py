"""What simple models of gene regulation share: expression of cells, correlations, edge tables."""

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import scipy.sparse as sp
from jaxtyping import Float, Int

from leaderboard.profiles import Counts, log_normalise, size_factors

if TYPE_CHECKING:
    from anndata import AnnData

MAX_EDGES = 1_000_000
"""What a prediction may hold at most; the strongest of each regulator are kept."""
EdgeWeights = Float[np.ndarray, "regulators genes"]


def expression(inputs: "AnnData") -> Counts:
    """Return log1p of all cells' counts, each scaled to the median total; cells by id, sparse."""
    order = np.argsort(inputs.obs_names.to_numpy(dtype=str), kind="stable")
    cells = inputs[order]
    kind = "total" if "total_counts_all_genes" in cells.obs else "panel"
    factor = size_factors(cells.X, cells.obs, kind)
    return log_normalise(cells.X, factor, float(np.median(factor)))


def regulator_places(inputs: "AnnData", queries: pd.DataFrame) -> Int[np.ndarray, " regulators"]:
    """Return where the candidate regulators stand among the genes of the inputs, by name."""
    names = np.sort(queries.loc[queries["is_regulator"], "gene"].to_numpy(dtype=str))
    places: Int[np.ndarray, " regulators"] = inputs.var_names.get_indexer(names)
    return places


def correlations(values: Counts, regulators: Int[np.ndarray, " regulators"]) -> EdgeWeights:
    """Return the Pearson correlation of each regulator with each gene; NaN if one is constant."""
    n = values.shape[0]
    total = np.asarray(values.sum(axis=0)).ravel()
    square = np.asarray(values.multiply(values).sum(axis=0)).ravel()
    spread = np.sqrt(np.maximum(square - total**2 / n, 0.0))
    own = values[:, regulators].toarray()
    product = (values.T @ own).T - np.outer(total[regulators], total) / n
    scale = np.outer(spread[regulators], spread)
    found = np.full(product.shape, np.nan)
    np.divide(product, scale, out=found, where=scale > 1e-9 * n)
    return np.clip(found, -1.0, 1.0)


def ranks(values: Counts) -> Counts:
    """Return the mid-rank of every value among the cells, less that of the gene's zeros.

    A shift changes no correlation, and so ranks stay as sparse as the values, none negative.
    """
    columns = sp.csc_matrix(values, copy=True)
    n = columns.shape[0]
    for gene in range(columns.shape[1]):
        own = slice(columns.indptr[gene], columns.indptr[gene + 1])
        columns.data[own] = _ranks_above_zeros(columns.data[own], n)
    return sp.csr_matrix(columns)


def _ranks_above_zeros(
    values: Float[np.ndarray, " expressing"], n: int
) -> Float[np.ndarray, " expressing"]:
    from scipy.stats import rankdata

    zeros = n - len(values)
    # Zeros take the ranks 1 ... zeros; without any there is nothing to be shifted by.
    middle = (zeros + 1) / 2 if zeros else 0.0
    return np.asarray(rankdata(values) + zeros - middle, dtype=np.float64)


def edge_table(
    inputs: "AnnData", regulators: Int[np.ndarray, " regulators"], weights: EdgeWeights
) -> pd.DataFrame:
    """Return the prediction of all pairs with a finite weight, each regulator's strongest first.

    Equal weights are taken in the order of gene names where there are too many pairs.
    """
    genes = inputs.var_names.to_numpy(dtype=str)
    limit = MAX_EDGES // max(len(regulators), 1)
    rows = []
    for place, own in zip(regulators, weights, strict=True):
        size = np.where(np.isfinite(own), np.abs(own), -1.0)
        size[place] = -1.0
        order = np.lexsort((genes, -size))[: min(limit, int((size >= 0).sum()))]
        rows.append((np.repeat(genes[place], len(order)), genes[order], own[order]))
    columns = [np.concatenate(part) for part in zip(*rows, strict=True)]
    table = dict(zip(("regulator", "target", "weight"), columns, strict=True))
    return pd.DataFrame(table).astype({"weight": np.float32})


def same_for_all(
    regulators: Int[np.ndarray, " regulators"], weights: Float[np.ndarray, " genes"]
) -> EdgeWeights:
    """Return one list of targets for every regulator."""
    return np.tile(weights, (len(regulators), 1))
