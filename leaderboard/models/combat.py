"""ComBat, by scanpy: each gene's location and scale in every batch are moved to a common one."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from leaderboard.models._hvg_pca import components, variable_genes
from leaderboard.models._inputs import embedding_table, log_counts
from leaderboard.spec import Model, RunContext

if TYPE_CHECKING:
    from anndata import AnnData


@dataclass(frozen=True)
class Combat:
    """Johnson et al. 2007, doi:10.1093/biostatistics/kxj037; then principal components."""

    n_genes: int = 2000
    n_dims: int = 30

    def embed(self, inputs: "AnnData", _run: RunContext) -> pd.DataFrame:
        """Return components of corrected log counts of highly variable genes that vary."""
        import scanpy
        from anndata import AnnData

        counts = log_counts(inputs)
        shown = counts[:, variable_genes(counts, min(self.n_genes, inputs.n_vars))].toarray()
        cells = AnnData(shown[:, np.ptp(shown, axis=0) > 0])
        cells.obs["batch"] = pd.Categorical(inputs.obs["batch"].astype(str).to_numpy())
        if cells.obs["batch"].nunique() < 2:
            raise ValueError("ComBat needs two batches")
        scanpy.pp.combat(cells, key="batch")
        values = np.asarray(cells.X, dtype=np.float64)
        return embedding_table(inputs, components(values - values.mean(axis=0), self.n_dims))


MODEL = Model(
    name="combat",
    label="ComBat",
    tasks=("batch_integration",),
    load=Combat,
)
