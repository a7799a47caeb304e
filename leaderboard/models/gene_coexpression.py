"""Places a gene by the programmes of the cells that it rises and falls with."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from leaderboard.models._genes import asked_expression, correlation, gene_table
from leaderboard.models._hvg_pca import hvg_pca
from leaderboard.spec import Model, RunContext

if TYPE_CHECKING:
    from anndata import AnnData


@dataclass(frozen=True)
class GeneCoexpression:
    """Correlation with the leading principal components of the cells."""

    n_genes: int = 2000
    n_dims: int = 20

    def embed_genes(
        self, inputs: "AnnData", queries: pd.DataFrame, _run: RunContext
    ) -> pd.DataFrame:
        """Return a dimension for every component."""
        order = np.argsort(inputs.obs_names.to_numpy(dtype=str), kind="stable")
        cells = hvg_pca(inputs, self.n_genes, self.n_dims)[order]
        values, _ = asked_expression(inputs, queries)
        return gene_table(queries, correlation(values, cells))


MODEL = Model(
    name="gene_coexpression",
    label="Co-expression embedding",
    tasks=("gene_property",),
    load=GeneCoexpression,
)
