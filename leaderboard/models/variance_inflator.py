"""An adversary that shouts: the mean training shift, three times, with ten times the variance."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from leaderboard.models._inputs import (
    control_profiles,
    perturbation_prediction,
    training_shifts,
)
from leaderboard.spec import Model, RunContext

if TYPE_CHECKING:
    from anndata import AnnData


@dataclass(frozen=True)
class VarianceInflator:
    """Large shifts pay where a metric rewards spread instead of agreement."""

    shift: float = 3.0
    variance: float = 10.0

    def predict(self, inputs: "AnnData", queries: pd.DataFrame, _run: RunContext) -> pd.DataFrame:
        """Return means and variances, two rows a query."""
        controls = control_profiles(inputs)
        means = controls.loc[queries["context"]].to_numpy()
        means = means + self.shift * training_shifts(inputs).mean().to_numpy()
        spread = np.tile(self.variance * controls.to_numpy().var(axis=0), (len(queries), 1))
        answer = perturbation_prediction(queries, means, inputs.var_names)
        extra = perturbation_prediction(queries, spread, inputs.var_names)
        return pd.concat([answer, extra.assign(statistic="variance")], ignore_index=True)


MODEL = Model(
    name="variance_inflator",
    label="Variance inflator (adversary)",
    tasks=("perturbation_prediction",),
    load=VarianceInflator,
    is_adversary=True,
)
