"""Predicts the average perturbed profile of training, whatever is asked for."""

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from leaderboard.models._inputs import fitted, perturbation_prediction, training_profiles
from leaderboard.models._sampling import draw_cells
from leaderboard.spec import Model, RunContext

if TYPE_CHECKING:
    from anndata import AnnData


class TrainingMean:
    """Equal weight to every training perturbation of the query's context, else to all."""

    def predict(self, inputs: "AnnData", queries: pd.DataFrame, _run: RunContext) -> pd.DataFrame:
        """Return the same profile for every perturbation of a context."""
        profiles = training_profiles(inputs)
        by_context = profiles.groupby(level="context").mean()
        overall = profiles.groupby(level="perturbation").mean().mean()
        rows = [by_context.loc[c] if c in by_context.index else overall for c in queries["context"]]
        return perturbation_prediction(queries, np.stack(rows), inputs.var_names)

    def sample(self, inputs: "AnnData", queries: pd.DataFrame, run: RunContext) -> pd.DataFrame:
        """Return perturbed training cells of the query's context, else of all."""
        context = inputs.obs["context"].to_numpy(dtype=str)
        is_training = fitted(inputs)
        pools = {c: is_training & (context == c) for c in np.unique(queries["context"])}
        pools = {c: pool if pool.any() else is_training for c, pool in pools.items()}
        return draw_cells(inputs, queries, pools, run.seed)


MODEL = Model(
    name="training_mean",
    label="Training mean",
    tasks=("perturbation_prediction",),
    load=TrainingMean,
)
