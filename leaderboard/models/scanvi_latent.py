"""scANVI's latent space, trained on all cells with their batches and labels."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from leaderboard.models._inputs import embedding_table
from leaderboard.models._scvi import (
    LABEL,
    UNLABELLED,
    Size,
    cells_for_scvi,
    encoded,
    fit_scvi,
    genes_of,
    load_scvi,
    log_history,
    train,
)
from leaderboard.spec import Model, RunContext

if TYPE_CHECKING:
    from anndata import AnnData


@dataclass(frozen=True, kw_only=True)
class ScanviLatent(Size):
    """Xu et al. 2021, doi:10.15252/msb.20209620: scVI, trained on with the labels of all cells."""

    label_epochs: int = 20

    def embed(self, inputs: "AnnData", run: RunContext) -> pd.DataFrame:
        """Return the latent mean of every cell; needs the extra ``scvi``."""
        package = load_scvi()
        genes = genes_of(inputs, self.n_genes)
        cells = cells_for_scvi(inputs, np.ones(inputs.n_obs, dtype=bool), genes)
        model = package.model.SCANVI.from_scvi_model(
            fit_scvi(package, inputs, cells, self, run),
            unlabeled_category=UNLABELLED,
            labels_key=LABEL,
        )
        train(model, inputs, cells, min(self.label_epochs, run.max_epochs or self.label_epochs), 5)
        log_history(model, run, "train_accuracy", "validation_accuracy")
        return embedding_table(inputs, encoded(model, inputs, genes))


MODEL = Model(
    name="scanvi_latent",
    label="scANVI (uses labels)",
    tasks=("batch_integration",),
    load=ScanviLatent,
    is_stochastic=True,
    uses_labels=True,
)
