"""Averages the shifts of the training perturbations whose targets are co-expressed with its own."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from jaxtyping import Float

from leaderboard.models._coexpression import gene_embedding
from leaderboard.models._embedding import cosines, nearest, predict_shifts
from leaderboard.spec import Model, RunContext

if TYPE_CHECKING:
    from anndata import AnnData


@dataclass(frozen=True)
class CoexpressionKnn:
    """The k training perturbations with the nearest target embedding, by cosine."""

    n_dims: int = 20
    k: int = 5

    def predict(self, inputs: "AnnData", queries: pd.DataFrame, run: RunContext) -> pd.DataFrame:
        """Return one profile a query."""
        embedding = gene_embedding(inputs, self.n_dims)
        return predict_shifts(inputs, queries, embedding, self._shift, run)

    def _shift(
        self,
        place: Float[np.ndarray, " dims"],
        known: Float[np.ndarray, "training dims"],
        shifts: Float[np.ndarray, "training genes"],
    ) -> Float[np.ndarray, " genes"]:
        near = nearest(cosines(place, known), self.k)
        mean: Float[np.ndarray, " genes"] = shifts[near].mean(axis=0)
        return mean


MODEL = Model(
    name="coexpression_knn",
    label="kNN on co-expression embeddings",
    tasks=("perturbation_prediction",),
    load=CoexpressionKnn,
)
