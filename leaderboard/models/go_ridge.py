"""Regresses shifts on the biological processes of their targets."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from jaxtyping import Float

from leaderboard.models._embedding import predict_shifts, ridge_shift
from leaderboard.models._go import RESOURCE, go_embedding, targets_of
from leaderboard.spec import Model, RunContext

if TYPE_CHECKING:
    from anndata import AnnData


@dataclass(frozen=True)
class GoRidge:
    """Ridge centred on the mean training shift; the penalty is relative, see ``ridge_shift``."""

    ridge: float = 0.1
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
        return ridge_shift(place, known, shifts, self.ridge)


MODEL = Model(
    name="go_ridge",
    label="Ridge on GO terms",
    tasks=("perturbation_prediction",),
    load=GoRidge,
    resources=(RESOURCE,),
    suites=("public_small", "public_large"),
)
