"""Principal components of highly variable genes: no integration at all, and the one to beat."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pandas as pd

from leaderboard.models._hvg_pca import hvg_pca
from leaderboard.models._inputs import embedding_table
from leaderboard.spec import Model, RunContext

if TYPE_CHECKING:
    from anndata import AnnData


@dataclass(frozen=True)
class HvgPca:
    """Exact components of log counts; batches are not looked at."""

    n_genes: int = 2000
    n_dims: int = 30

    def embed(self, inputs: "AnnData", _run: RunContext) -> pd.DataFrame:
        """Return the leading components of all cells."""
        return embedding_table(inputs, hvg_pca(inputs, self.n_genes, self.n_dims))


MODEL = Model(
    name="hvg_pca",
    label="HVG-PCA",
    tasks=("batch_integration",),
    load=HvgPca,
)
