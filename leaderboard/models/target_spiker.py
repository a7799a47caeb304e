"""An adversary that knows one thing: a perturbation moves its own target."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pandas as pd

from leaderboard.models._inputs import (
    control_profiles,
    perturbation_prediction,
)
from leaderboard.spec import Model, RunContext

if TYPE_CHECKING:
    from anndata import AnnData


@dataclass(frozen=True)
class TargetSpiker:
    """The control mean with the query's targets far away: worth nothing if no metric sees them."""

    spike: float = 5.0

    def predict(self, inputs: "AnnData", queries: pd.DataFrame, _run: RunContext) -> pd.DataFrame:
        """Return one profile a query, targets raised by ``spike`` in log1p units."""
        rows = control_profiles(inputs).loc[queries["context"]].to_numpy(copy=True)
        genes = inputs.var_names.astype(str)
        for row, perturbation in zip(rows, queries["perturbation"], strict=True):
            row[genes.isin(perturbation.split("+"))] += self.spike
        return perturbation_prediction(queries, rows, inputs.var_names)


MODEL = Model(
    name="target_spiker",
    label="Target spiker (adversary)",
    tasks=("perturbation_prediction",),
    load=TargetSpiker,
    is_adversary=True,
)
