"""Shifts the context's own controls by the average shift of training."""

from typing import TYPE_CHECKING

import pandas as pd

from leaderboard.models._inputs import (
    control_profiles,
    perturbation_prediction,
    training_shifts,
)
from leaderboard.spec import Model, RunContext

if TYPE_CHECKING:
    from anndata import AnnData


class DeltaShift:
    """Equal weight to every training shift of every context."""

    def predict(self, inputs: "AnnData", queries: pd.DataFrame, _run: RunContext) -> pd.DataFrame:
        """Return control mean of the context + mean training shift over all contexts."""
        controls = control_profiles(inputs).loc[queries["context"]].to_numpy()
        shift = training_shifts(inputs).mean().to_numpy()
        return perturbation_prediction(queries, controls + shift, inputs.var_names)


MODEL = Model(
    name="delta_shift",
    label="Delta shift",
    tasks=("perturbation_prediction",),
    load=DeltaShift,
)
