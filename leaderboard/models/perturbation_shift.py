"""Shifts the context's own controls by what the same perturbation did elsewhere in training."""

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from leaderboard.models._inputs import control_profiles, perturbation_prediction, training_shifts
from leaderboard.spec import Model, RunContext

if TYPE_CHECKING:
    from anndata import AnnData


class PerturbationShift:
    """Equal weight to every training context; an unseen perturbation gets the mean shift of all."""

    def predict(self, inputs: "AnnData", queries: pd.DataFrame, _run: RunContext) -> pd.DataFrame:
        """Return control mean of the context + mean training shift of the perturbation."""
        shifts = training_shifts(inputs)
        by_name = shifts.groupby(level="perturbation").mean()
        overall = shifts.mean()
        rows = [by_name.loc[p] if p in by_name.index else overall for p in queries["perturbation"]]
        controls = control_profiles(inputs).loc[queries["context"]].to_numpy()
        return perturbation_prediction(queries, controls + np.stack(rows), inputs.var_names)


MODEL = Model(
    name="perturbation_shift",
    label="Same perturbation's shift",
    tasks=("perturbation_prediction",),
    load=PerturbationShift,
)
