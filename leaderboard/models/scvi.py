"""scVI's latent space of training cells, and the vote of the nearest of them."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pandas as pd

from leaderboard.models._inputs import fitted
from leaderboard.models._knn import knn_annotation
from leaderboard.models._scvi import Size, cells_for_scvi, encoded, fit_scvi, genes_of, load_scvi
from leaderboard.spec import Model, RunContext

if TYPE_CHECKING:
    from anndata import AnnData


@dataclass(frozen=True, kw_only=True)
class ScviKnn(Size):
    """Lopez et al. 2018, doi:10.1038/s41592-018-0229-2; test cells only pass the encoder."""

    k: int = 15

    def annotate(self, inputs: "AnnData", run: RunContext) -> pd.DataFrame:
        """Return labels with shares of votes; needs the extra ``scvi``."""
        package = load_scvi()
        genes = genes_of(inputs, self.n_genes)
        model = fit_scvi(package, inputs, cells_for_scvi(inputs, fitted(inputs), genes), self, run)
        return knn_annotation(inputs, encoded(model, inputs, genes), self.k)


MODEL = Model(
    name="scvi",
    label="kNN on scVI",
    tasks=("cell_type_annotation",),
    load=ScviKnn,
    is_stochastic=True,
)
