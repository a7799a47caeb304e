"""Every cell gets the label of the nearest training centroid, over highly variable genes' PCs."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from leaderboard.models._hvg_pca import hvg_pca
from leaderboard.models._inputs import annotation, fitted, labels, test_cells
from leaderboard.spec import Model, RunContext

if TYPE_CHECKING:
    from anndata import AnnData


@dataclass(frozen=True)
class NearestCentroid:
    """Cosine nearness of shifts from the training mean, so that library size matters little."""

    n_genes: int = 2000
    n_dims: int = 50

    def annotate(self, inputs: "AnnData", _run: RunContext) -> pd.DataFrame:
        """Return the nearest label; ties go to the label that sorts first."""
        components = hvg_pca(inputs, self.n_genes, self.n_dims)
        label = labels(inputs)
        train, test = components[fitted(inputs)], components[test_cells(inputs)]
        names = np.unique(label)
        centroids = np.stack([train[label == name].mean(axis=0) for name in names])
        near = _unit_length(test) @ _unit_length(centroids).T
        return annotation(inputs, names[near.argmax(axis=1)])


def _unit_length(rows: np.ndarray) -> np.ndarray:
    norm = np.linalg.norm(rows, axis=1, keepdims=True)
    scaled: np.ndarray = np.divide(rows, norm, out=np.zeros_like(rows), where=norm > 0)
    return scaled


MODEL = Model(
    name="nearest_centroid",
    label="Nearest centroid",
    tasks=("cell_type_annotation",),
    load=NearestCentroid,
)
