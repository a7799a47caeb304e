"""Highly variable genes and principal components, fitted on training cells only."""

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import scipy.sparse as sp
from jaxtyping import Bool, Float, Int

from leaderboard.models._inputs import fitted, log_counts
from leaderboard.profiles import group_moments

if TYPE_CHECKING:
    from anndata import AnnData

N_BINS = 20
"""Bins of mean expression in which dispersions are compared."""


def hvg_pca(inputs: "AnnData", n_genes: int, n_dims: int) -> Float[np.ndarray, "cells dims"]:
    """Return principal components of all cells; genes, means and axes come from fitted cells.

    Genes are the ``seurat`` highly variable genes of the fitted cells. The axes are exact
    (eigenvectors of the gene covariance) with their largest loading positive, so they depend on
    neither the order of the cells nor a random start.
    """
    counts = log_counts(inputs)
    is_fitted = fitted(inputs)
    if n_genes < counts.shape[1]:
        counts = counts[:, variable_genes(counts[is_fitted], n_genes)]
    mean = np.asarray(counts[is_fitted].mean(axis=0)).ravel()
    axes = _axes(counts[is_fitted].toarray() - mean, n_dims)
    places: Float[np.ndarray, "cells dims"] = counts @ axes - mean @ axes
    return places


def components(
    centred: Float[np.ndarray, "cells genes"], n_dims: int
) -> Float[np.ndarray, "cells dims"]:
    """Return the leading principal components of values whose genes have mean 0."""
    places: Float[np.ndarray, "cells dims"] = centred @ _axes(centred, n_dims)
    return places


def _axes(values: Float[np.ndarray, "cells genes"], n_dims: int) -> Float[np.ndarray, "genes dims"]:
    """Return the leading eigenvectors of the gene covariance, their largest loading positive."""
    import scipy.linalg

    n = values.shape[1]
    chosen = (max(0, n - n_dims), n - 1)
    _, axes = scipy.linalg.eigh(values.T @ values, subset_by_index=chosen)
    leading: Float[np.ndarray, "genes dims"] = axes[:, ::-1].copy()
    leading *= np.sign(leading[np.abs(leading).argmax(axis=0), np.arange(leading.shape[1])])
    return leading


def variable_genes(counts: sp.csr_matrix, n_genes: int) -> Int[np.ndarray, " chosen"]:
    """Return the columns of the most variable genes of log counts, in order.

    Small bins give many genes the same dispersion: ties go to the earlier gene.
    """
    dispersion = np.nan_to_num(normalised_dispersion(counts), nan=-np.inf)
    order = np.lexsort((np.arange(len(dispersion)), -np.round(dispersion, 9)))
    return np.sort(order[:n_genes])


def normalised_dispersion(counts: sp.csr_matrix) -> Float[np.ndarray, " genes"]:
    """Return how far each gene's variance / mean lies above that of genes of like mean.

    Satija et al. 2015, doi:10.1038/nbt.3192: the log of variance over mean of the scaled counts
    (not of their logs), as standard deviations from its mean over the genes of one of 20 equal bins
    of log1p mean; a bin of one gene gives it 1. Equal to ``dispersions_norm`` of
    ``scanpy.pp.highly_variable_genes(flavor="seurat")``; NaN for a gene that does not vary.
    """
    scaled = counts.copy()
    np.expm1(scaled.data, out=scaled.data)
    _, means, variances = group_moments(scaled, np.zeros(scaled.shape[0], dtype=int), 1)
    mean, variance = means[0], variances[0]
    varies: Bool[np.ndarray, " genes"] = (mean > 0) & (variance > 0)
    dispersion = np.full(len(mean), np.nan)
    dispersion[varies] = np.log(variance[varies] / mean[varies])
    table = pd.DataFrame(
        {"bin": pd.cut(np.log1p(mean), bins=N_BINS, labels=False), "d": dispersion}
    )
    bins = table.groupby("bin")["d"]
    centre, spread = bins.transform("mean").to_numpy(), bins.transform("std").to_numpy()
    alone = np.isnan(spread) & varies
    spread[alone], centre[alone] = centre[alone], 0.0
    with np.errstate(divide="ignore", invalid="ignore"):
        normalised: Float[np.ndarray, " genes"] = (dispersion - centre) / spread
    return normalised
