"""Predicts the average perturbed profile of training, whatever is asked for."""

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from leaderboard.models._inputs import perturbation_prediction, training_profiles
from leaderboard.spec import Model, RunContext

if TYPE_CHECKING:
    from anndata import AnnData


class TrainingMean:
    """Equal weight to every training perturbation of the query's context, else to all."""

    def predict(self, inputs: "AnnData", queries: pd.DataFrame, _run: RunContext) -> pd.DataFrame:
        """Return the same profile for every perturbation of a context."""
        profiles = training_profiles(inputs)
        by_context = profiles.groupby(level="context").mean()
        overall = profiles.mean()
        rows = [by_context.loc[c] if c in by_context.index else overall for c in queries["context"]]
        return perturbation_prediction(queries, np.stack(rows), inputs.var_names)


MODEL = Model(
    name="training_mean",
    label="Training mean",
    tasks=("perturbation_prediction",),
    load=TrainingMean,
)
