"""scVI's latent space, trained on all cells with their batches."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from leaderboard.models._inputs import embedding_table
from leaderboard.models._scvi import (
    Size,
    cells_for_scvi,
    encoded,
    fit_scvi,
    genes_of,
    load_scvi,
)
from leaderboard.spec import Model, RunContext

if TYPE_CHECKING:
    from anndata import AnnData


@dataclass(frozen=True, kw_only=True)
class ScviLatent(Size):
    """Lopez et al. 2018, doi:10.1038/s41592-018-0229-2; the decoder alone is told the batch."""

    def embed(self, inputs: "AnnData", run: RunContext) -> pd.DataFrame:
        """Return the latent mean of every cell; needs the extra ``scvi``."""
        package = load_scvi()
        genes = genes_of(inputs, self.n_genes)
        cells = cells_for_scvi(inputs, np.ones(inputs.n_obs, dtype=bool), genes)
        model = fit_scvi(package, inputs, cells, self, run)
        return embedding_table(inputs, encoded(model, inputs, genes))


MODEL = Model(
    name="scvi_latent",
    label="scVI",
    tasks=("batch_integration",),
    load=ScviLatent,
    is_stochastic=True,
)
