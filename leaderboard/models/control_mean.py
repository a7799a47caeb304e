"""Predicts that nothing happens: the mean of the context's control cells, and such cells."""

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from leaderboard.models._inputs import control_profiles, perturbation_prediction, role_is
from leaderboard.models._sampling import draw_cells
from leaderboard.spec import Model, RunContext

if TYPE_CHECKING:
    from anndata import AnnData


class ControlMean:
    """The same profile for every perturbation of a context."""

    def predict(self, inputs: "AnnData", queries: pd.DataFrame, _run: RunContext) -> pd.DataFrame:
        """Return the control mean of each query's context."""
        profiles = control_profiles(inputs).loc[queries["context"]].to_numpy()
        return perturbation_prediction(queries, profiles, inputs.var_names)

    def sample(self, inputs: "AnnData", queries: pd.DataFrame, run: RunContext) -> pd.DataFrame:
        """Return control cells of each query's context."""
        context = inputs.obs["context"].to_numpy(dtype=str)
        is_control = role_is(inputs, "control_input")
        pools = {c: is_control & (context == c) for c in np.unique(queries["context"])}
        return draw_cells(inputs, queries, pools, run.seed)


MODEL = Model(
    name="control_mean",
    label="Control mean",
    tasks=("perturbation_prediction",),
    load=ControlMean,
)
