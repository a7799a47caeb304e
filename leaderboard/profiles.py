"""Mean profiles of groups of cells, from sparse counts, without densifying the matrix."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import scipy.sparse as sp
from jaxtyping import Float, Int

Counts = sp.csr_matrix


def size_factors(counts: Counts, obs: pd.DataFrame, kind: str) -> Float[np.ndarray, " cells"]:
    """Return what each cell's counts are divided by: its panel total or its full total."""
    if kind == "total":
        return obs["total_counts_all_genes"].to_numpy(dtype=np.float64)
    return np.asarray(counts.sum(axis=1, dtype=np.float64)).ravel()


def cell_scale(
    factors: Float[np.ndarray, " cells"], target_sum: float
) -> Float[np.ndarray, " cells"]:
    """Return what each cell's counts are multiplied by: 0 for a cell without counts."""
    scale: Float[np.ndarray, " cells"] = np.zeros_like(factors)
    np.divide(target_sum, factors, out=scale, where=factors > 0)
    return scale


def log_normalise(
    counts: Counts, factors: Float[np.ndarray, " cells"], target_sum: float
) -> Counts:
    """Return log1p(counts / factor * target sum), float64 and sparse; a cell of zeros stays so."""
    scaled = sp.csr_matrix(counts, dtype=np.float64, copy=True)
    scaled.data *= np.repeat(cell_scale(factors, target_sum), np.diff(scaled.indptr))
    np.log1p(scaled.data, out=scaled.data)
    return scaled


def log_counts_of(
    counts: Counts, cells: Int[np.ndarray, " chosen"], scale: Float[np.ndarray, " cells"]
) -> tuple[Counts, Float[np.ndarray, " entries"]]:
    """Return the rows of some cells and log1p(count * scale) of their stored entries, float64."""
    rows = counts[cells]
    return rows, np.log1p(rows.data * np.repeat(scale[cells], np.diff(rows.indptr)))


def group_moments(
    values: Counts, group: Int[np.ndarray, " cells"], n_groups: int
) -> tuple[
    Int[np.ndarray, " groups"], Float[np.ndarray, "groups genes"], Float[np.ndarray, "groups genes"]
]:
    """Return n, mean and unbiased variance of every gene in every group.

    ``group`` numbers the groups from 0; a negative number leaves the cell out. The variance of a
    group of one cell is NaN. Sums and sums of squares add up over chunks of cells.
    """
    used = np.flatnonzero(group >= 0)
    n = np.bincount(group[used], minlength=n_groups)
    member = sp.csr_matrix(
        (np.ones(len(used)), (group[used], used)), shape=(n_groups, values.shape[0])
    )
    mean = _dense(member @ values) / np.maximum(n, 1)[:, None]
    square = _dense(member @ values.multiply(values).tocsr())
    with np.errstate(invalid="ignore", divide="ignore"):
        variance = (square - n[:, None] * mean**2) / (n - 1)[:, None]
    variance[n < 2] = np.nan
    mean[n == 0] = np.nan
    return n, mean, np.maximum(variance, 0.0)


def _dense(matrix: sp.csr_matrix) -> Float[np.ndarray, "groups genes"]:
    dense: Float[np.ndarray, "groups genes"] = matrix.toarray()
    return dense


def target_genes(perturbations: Sequence[str]) -> frozenset[str]:
    """Return every gene that a panel perturbs, singly or in combination."""
    return frozenset(gene for p in perturbations for gene in p.split("+"))
