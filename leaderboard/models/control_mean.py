"""Predicts that nothing happens: the mean of the context's control cells."""

from typing import TYPE_CHECKING

import pandas as pd

from leaderboard.models._inputs import control_profiles, perturbation_prediction
from leaderboard.spec import Model, RunContext

if TYPE_CHECKING:
    from anndata import AnnData


class ControlMean:
    """The same profile for every perturbation of a context."""

    def predict(self, inputs: "AnnData", queries: pd.DataFrame, _run: RunContext) -> pd.DataFrame:
        """Return the control mean of each query's context."""
        profiles = control_profiles(inputs).loc[queries["context"]].to_numpy()
        return perturbation_prediction(queries, profiles, inputs.var_names)


MODEL = Model(
    name="control_mean",
    label="Control mean",
    tasks=("perturbation_prediction",),
    load=ControlMean,
)
