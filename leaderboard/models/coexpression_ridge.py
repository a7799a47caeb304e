"""Regresses shifts on the co-expression embedding of their targets."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from jaxtyping import Float

from leaderboard.models._coexpression import gene_embedding
from leaderboard.models._embedding import predict_shifts, ridge_shift
from leaderboard.spec import Model, RunContext

if TYPE_CHECKING:
    from anndata import AnnData


@dataclass(frozen=True)
class CoexpressionRidge:
    """Ridge centred on the mean training shift; the penalty is relative, see ``ridge_shift``."""

    n_dims: int = 20
    ridge: float = 0.1

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
        return ridge_shift(place, known, shifts, self.ridge)


MODEL = Model(
    name="coexpression_ridge",
    label="Ridge on co-expression embeddings",
    tasks=("perturbation_prediction",),
    load=CoexpressionRidge,
)
