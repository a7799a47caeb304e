"""Averages the shifts of training perturbations whose targets share its biological processes."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from jaxtyping import Float

from leaderboard.models._embedding import cosines, nearest, predict_shifts
from leaderboard.models._go import RESOURCE, go_embedding, targets_of
from leaderboard.spec import Model, RunContext

if TYPE_CHECKING:
    from anndata import AnnData


@dataclass(frozen=True)
class GoKnn:
    """The k training perturbations with the most similar targets, by cosine of their GO terms.

    Only those that share a term: where fewer than k do, the others would tie at a cosine of 0 and
    drown them. The mean training shift where none does.
    """

    k: int = 5
    smallest: int = 5
    largest: int = 500

    def predict(self, inputs: "AnnData", queries: pd.DataFrame, run: RunContext) -> pd.DataFrame:
        """Return one profile a query."""
        genes = targets_of(inputs, queries)
        embedding = go_embedding(genes, run, self.smallest, self.largest)
        return predict_shifts(inputs, queries, embedding, self._shift, run)

    def _shift(
        self,
        place: Float[np.ndarray, " dims"],
        known: Float[np.ndarray, "training dims"],
        shifts: Float[np.ndarray, "training genes"],
    ) -> Float[np.ndarray, " genes"]:
        similarity = cosines(place, known)
        near = nearest(similarity, self.k) & (similarity > 0)
        chosen = shifts[near] if near.any() else shifts
        mean: Float[np.ndarray, " genes"] = chosen.mean(axis=0)
        return mean


MODEL = Model(
    name="go_knn",
    label="kNN on GO terms",
    tasks=("perturbation_prediction",),
    load=GoKnn,
    resources=(RESOURCE,),
    suites=("public_small", "public_large"),
)
