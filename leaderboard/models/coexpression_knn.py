"""Averages the shifts of the training perturbations whose targets are co-expressed with its own."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from leaderboard.models._coexpression import ShiftFromEmbedding, nearest
from leaderboard.spec import Model


@dataclass(frozen=True)
class CoexpressionKnn(ShiftFromEmbedding):
    """The k training perturbations with the nearest target embedding, by cosine."""

    n_dims: int = 20
    k: int = 5

    def _shift(
        self,
        place: Float[np.ndarray, " dims"],
        known: Float[np.ndarray, "training dims"],
        shifts: Float[np.ndarray, "training genes"],
    ) -> Float[np.ndarray, " genes"]:
        mean: Float[np.ndarray, " genes"] = shifts[nearest(place, known, self.k)].mean(axis=0)
        return mean


MODEL = Model(
    name="coexpression_knn",
    label="kNN on co-expression embeddings",
    tasks=("perturbation_prediction",),
    load=CoexpressionKnn,
)
