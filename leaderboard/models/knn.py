"""The vote of the nearest training cells, over highly variable genes' principal components."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pandas as pd

from leaderboard.models._hvg_pca import hvg_pca
from leaderboard.models._knn import knn_annotation
from leaderboard.spec import Model, RunContext

if TYPE_CHECKING:
    from anndata import AnnData


@dataclass(frozen=True)
class NearestNeighbours:
    """Euclidean distance, every one of k neighbours has one vote."""

    n_genes: int = 2000
    n_dims: int = 50
    k: int = 15

    def annotate(self, inputs: "AnnData", _run: RunContext) -> pd.DataFrame:
        """Return labels with shares of votes."""
        return knn_annotation(inputs, hvg_pca(inputs, self.n_genes, self.n_dims), self.k)


MODEL = Model(
    name="knn",
    label="kNN on HVG-PCA",
    tasks=("cell_type_annotation",),
    load=NearestNeighbours,
)
