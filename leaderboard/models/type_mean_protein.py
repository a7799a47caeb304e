"""The mean proteins of the cell type that logistic regression calls: what a type alone says."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from leaderboard.models._inputs import fitted
from leaderboard.models._proteins import known_proteins, protein_prediction
from leaderboard.models.logistic_regression import LogisticRegression
from leaderboard.spec import Model, RunContext

if TYPE_CHECKING:
    from anndata import AnnData


@dataclass(frozen=True)
class TypeMeanProtein:
    """Calls the type as the annotation baseline does; cells of one type are all alike."""

    n_genes: int = 2000
    n_dims: int = 50
    c: float = 1.0

    def predict_proteins(self, inputs: "AnnData", run: RunContext) -> pd.DataFrame:
        """Return the training mean of every test cell's called type."""
        values = pd.DataFrame(known_proteins(inputs))
        label = inputs.obs.loc[fitted(inputs), "cell_type"]
        means = values[label.notna().to_numpy()].groupby(label.dropna().to_numpy(dtype=str)).mean()
        labelled = inputs[~fitted(inputs) | inputs.obs["cell_type"].notna().to_numpy()]
        caller = LogisticRegression(n_genes=self.n_genes, n_dims=self.n_dims, c=self.c)
        called = caller.annotate(labelled, run)["label"]
        return protein_prediction(inputs, np.asarray(means.loc[called]))


MODEL = Model(
    name="type_mean_protein",
    label="Mean of the called type",
    tasks=("modality_prediction",),
    load=TypeMeanProtein,
)
