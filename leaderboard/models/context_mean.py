"""Predicts the mean of everything that is shown of the query's context, controls included."""

from typing import TYPE_CHECKING

import pandas as pd

from leaderboard.models._inputs import (
    control_profiles,
    perturbation_prediction,
    training_profiles,
)
from leaderboard.spec import Model, RunContext

if TYPE_CHECKING:
    from anndata import AnnData


class ContextMean:
    """Equal weight to the control and to every training perturbation of the context."""

    def predict(self, inputs: "AnnData", queries: pd.DataFrame, _run: RunContext) -> pd.DataFrame:
        """Return the same profile for every perturbation of a context."""
        controls = control_profiles(inputs)
        known = training_profiles(inputs).droplevel("perturbation")
        means = pd.concat([controls, known]).groupby(level="context").mean()
        return perturbation_prediction(
            queries, means.loc[queries["context"]].to_numpy(), inputs.var_names
        )


MODEL = Model(
    name="context_mean",
    label="Context mean",
    tasks=("perturbation_prediction",),
    load=ContextMean,
)
