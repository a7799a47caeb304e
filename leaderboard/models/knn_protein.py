"""The mean proteins of the nearest training cells, over components of highly variable genes."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from leaderboard.models._hvg_pca import hvg_pca
from leaderboard.models._inputs import fitted, test_cells
from leaderboard.models._proteins import known_proteins, protein_prediction
from leaderboard.spec import Model, RunContext

if TYPE_CHECKING:
    from anndata import AnnData


@dataclass(frozen=True)
class NearestProteins:
    """Euclidean distance, every one of k neighbours weighs the same."""

    n_genes: int = 2000
    n_dims: int = 50
    k: int = 15

    def predict_proteins(self, inputs: "AnnData", _run: RunContext) -> pd.DataFrame:
        """Return the mean of the k nearest fitted cells, which stand in the order of their ids."""
        from sklearn.neighbors import NearestNeighbors

        components = hvg_pca(inputs, self.n_genes, self.n_dims)
        is_fitted = fitted(inputs)
        order = np.argsort(inputs.obs_names[is_fitted].to_numpy(dtype=str))
        search = NearestNeighbors(n_neighbors=min(self.k, len(order)), algorithm="brute")
        search.fit(components[is_fitted][order])
        near = search.kneighbors(components[test_cells(inputs)], return_distance=False)
        return protein_prediction(inputs, known_proteins(inputs)[order][near].mean(axis=1))


MODEL = Model(
    name="knn_protein",
    label="kNN on HVG-PCA",
    tasks=("modality_prediction",),
    load=NearestProteins,
)
