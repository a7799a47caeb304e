"""Highly variable genes and principal components, fitted on training cells only."""

from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float

from leaderboard.models._inputs import fitted, log_counts

if TYPE_CHECKING:
    from anndata import AnnData


def hvg_pca(inputs: "AnnData", n_genes: int, n_dims: int) -> Float[np.ndarray, "cells dims"]:
    """Return principal components of all cells; genes, means and axes come from fitted cells.

    Genes are scanpy's ``seurat`` highly variable genes of the fitted cells. The axes are exact
    (eigenvectors of the gene covariance) with their largest loading positive, so they depend on
    neither the order of the cells nor a random start.
    """
    import anndata
    import scanpy

    counts = log_counts(inputs)
    is_fitted = fitted(inputs)
    train = anndata.AnnData(counts[is_fitted])
    if n_genes < train.n_vars:
        scanpy.pp.highly_variable_genes(train, n_top_genes=n_genes, flavor="seurat")
        # Small bins give many genes the same dispersion: ties go to the earlier gene.
        dispersion = np.nan_to_num(train.var["dispersions_norm"].to_numpy(), nan=-np.inf)
        order = np.lexsort((np.arange(train.n_vars), -np.round(dispersion, 9)))
        counts = counts[:, np.sort(order[:n_genes])]
    values = counts.toarray()
    values -= values[is_fitted].mean(axis=0)
    train_values = values[is_fitted]
    _, axes = np.linalg.eigh(train_values.T @ train_values)
    axes = axes[:, ::-1][:, : min(n_dims, axes.shape[1])]
    axes *= np.sign(axes[np.abs(axes).argmax(axis=0), np.arange(axes.shape[1])])
    components: Float[np.ndarray, "cells dims"] = values @ axes
    return components
