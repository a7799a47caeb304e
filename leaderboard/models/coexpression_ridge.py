"""Regresses shifts on the co-expression embedding of their targets."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from jaxtyping import Float

from leaderboard.models._coexpression import predict_shifts
from leaderboard.spec import Model, RunContext

if TYPE_CHECKING:
    from anndata import AnnData


@dataclass(frozen=True)
class CoexpressionRidge:
    """Ridge in its dual form, centred on the mean training shift.

    The penalty is relative to the mean squared length of the training embeddings.
    """

    n_dims: int = 20
    ridge: float = 0.1

    def predict(self, inputs: "AnnData", queries: pd.DataFrame, run: RunContext) -> pd.DataFrame:
        """Return one profile a query."""
        return predict_shifts(inputs, queries, self.n_dims, self._shift, run)

    def _shift(
        self,
        place: Float[np.ndarray, " dims"],
        known: Float[np.ndarray, "training dims"],
        shifts: Float[np.ndarray, "training genes"],
    ) -> Float[np.ndarray, " genes"]:
        centre, mean = known.mean(axis=0), shifts.mean(axis=0)
        gram = (known - centre) @ (known - centre).T
        penalty = self.ridge * max(float(np.trace(gram)), 1e-12)
        dual = np.linalg.solve(gram + penalty / len(known) * np.eye(len(known)), shifts - mean)
        shift: Float[np.ndarray, " genes"] = mean + (known - centre) @ (place - centre) @ dual
        return shift


MODEL = Model(
    name="coexpression_ridge",
    label="Ridge on co-expression embeddings",
    tasks=("perturbation_prediction",),
    load=CoexpressionRidge,
)
