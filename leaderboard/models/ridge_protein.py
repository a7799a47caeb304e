"""Linear ridge regression of every protein on the components of highly variable genes."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pandas as pd

from leaderboard.models._hvg_pca import hvg_pca
from leaderboard.models._linear import ridge_proteins
from leaderboard.spec import Model, RunContext

if TYPE_CHECKING:
    from anndata import AnnData


@dataclass(frozen=True)
class RidgeProtein:
    """scikit-learn's, on components of one common scale, with penalty ``alpha``."""

    n_genes: int = 2000
    n_dims: int = 50
    alpha: float = 1.0

    def predict_proteins(self, inputs: "AnnData", _run: RunContext) -> pd.DataFrame:
        """Return the regression's value for every test cell."""
        return ridge_proteins(inputs, hvg_pca(inputs, self.n_genes, self.n_dims), self.alpha)


MODEL = Model(
    name="ridge_protein",
    label="Ridge on HVG-PCA",
    tasks=("modality_prediction",),
    load=RidgeProtein,
)
