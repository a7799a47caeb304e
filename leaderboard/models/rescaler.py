"""An adversary that keeps ranks and changes the scale: the training mean as if it were counts."""

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from leaderboard.models._inputs import (
    perturbation_prediction,
    training_profiles,
)
from leaderboard.spec import Model, RunContext

if TYPE_CHECKING:
    from anndata import AnnData


class Rescaler:
    """Log values mixed with counts: the order of genes is right and their size is not."""

    def predict(self, inputs: "AnnData", queries: pd.DataFrame, _run: RunContext) -> pd.DataFrame:
        """Return ``expm1`` of the mean training profile, for every query."""
        profile = np.expm1(training_profiles(inputs).mean().to_numpy())
        rows = np.tile(profile, (len(queries), 1))
        return perturbation_prediction(queries, rows, inputs.var_names)


MODEL = Model(
    name="rescaler",
    label="Rank-preserving rescaler (adversary)",
    tasks=("perturbation_prediction",),
    load=Rescaler,
    is_adversary=True,
)
