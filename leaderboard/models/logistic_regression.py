"""Multinomial logistic regression on the principal components of highly variable genes."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pandas as pd

from leaderboard.models._hvg_pca import hvg_pca
from leaderboard.models._linear import linear_annotation
from leaderboard.spec import Model, RunContext

if TYPE_CHECKING:
    from anndata import AnnData


@dataclass(frozen=True)
class LogisticRegression:
    """scikit-learn's, with standardised components and an L2 penalty 1/c."""

    n_genes: int = 2000
    n_dims: int = 50
    c: float = 1.0
    max_iterations: int = 1000

    def annotate(self, inputs: "AnnData", run: RunContext) -> pd.DataFrame:
        """Return labels with probabilities."""
        places = hvg_pca(inputs, self.n_genes, self.n_dims)
        return linear_annotation(inputs, places, run, C=self.c, max_iter=self.max_iterations)


MODEL = Model(
    name="logistic_regression",
    label="Logistic regression on HVG-PCA",
    tasks=("cell_type_annotation",),
    load=LogisticRegression,
)
