"""Linear ridge regression of every protein on the components of highly variable genes."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pandas as pd

from leaderboard.models._hvg_pca import hvg_pca
from leaderboard.models._inputs import fitted, test_cells
from leaderboard.models._proteins import known_proteins, protein_prediction
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
        from sklearn.linear_model import Ridge

        components = hvg_pca(inputs, self.n_genes, self.n_dims)
        train, test = components[fitted(inputs)], components[test_cells(inputs)]
        # One scale for all components keeps the order of importance that PCA found.
        scale = train.std()
        model = Ridge(alpha=self.alpha).fit(train / scale, known_proteins(inputs))
        return protein_prediction(inputs, model.predict(test / scale))


MODEL = Model(
    name="ridge_protein",
    label="Ridge on HVG-PCA",
    tasks=("modality_prediction",),
    load=RidgeProtein,
)
