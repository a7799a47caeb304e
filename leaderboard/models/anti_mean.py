"""An adversary that plays folds against each other: the opposite of the mean training shift."""

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


class AntiMean:
    """The same shift for every query, away from what the fold trained on.

    What a fold trains on tells which perturbations it lacks: the opposite of its mean is nearer to
    the truths of that very fold than to others, which pays where a score pools folds.
    """

    def predict(self, inputs: "AnnData", queries: pd.DataFrame, _run: RunContext) -> pd.DataFrame:
        """Return control mean of the context - mean training shift."""
        controls = control_profiles(inputs).loc[queries["context"]].to_numpy()
        shift = training_shifts(inputs).mean().to_numpy()
        return perturbation_prediction(queries, controls - shift, inputs.var_names)


MODEL = Model(
    name="anti_mean",
    label="Cross-fold anti-mean (adversary)",
    tasks=("perturbation_prediction",),
    load=AntiMean,
    is_adversary=True,
)
