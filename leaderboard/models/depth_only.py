"""An adversary that looks at no gene: everything is a matter of how many counts a cell has."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from leaderboard.models._bins import answer_by_bin
from leaderboard.models._inputs import (
    control_profiles,
    embedding_table,
    fitted,
    perturbation_prediction,
    training_profiles,
)
from leaderboard.profiles import size_factors
from leaderboard.spec import Model, RunContext

if TYPE_CHECKING:
    from anndata import AnnData


@dataclass(frozen=True)
class DepthOnly:
    """Bins of the panel's total counts that hold equal numbers of training cells."""

    n_bins: int = 20

    def annotate(self, inputs: "AnnData", _run: RunContext) -> pd.DataFrame:
        """Return the commonest training label of every cell's bin, with shares of labels."""
        depth = size_factors(inputs.X, inputs.obs, "panel")
        inner = np.arange(1, self.n_bins) / self.n_bins
        edges = np.quantile(depth[fitted(inputs)], inner)
        return answer_by_bin(inputs, np.searchsorted(edges, depth, side="right"))

    def embed(self, inputs: "AnnData", _run: RunContext) -> pd.DataFrame:
        """Return the log of total counts as the only dimension."""
        depth = size_factors(inputs.X, inputs.obs, "panel")
        return embedding_table(inputs, np.log1p(depth)[:, None])

    def predict(self, inputs: "AnnData", queries: pd.DataFrame, _run: RunContext) -> pd.DataFrame:
        """Return each context's control mean, scaled as all controls together fit training best."""
        controls = control_profiles(inputs)
        profiles = training_profiles(inputs)
        known = controls.loc[profiles.index.get_level_values("context")].to_numpy()
        scale = float((known * profiles.to_numpy()).sum() / (known**2).sum())
        rows = scale * controls.loc[queries["context"]].to_numpy()
        return perturbation_prediction(queries, rows, inputs.var_names)


MODEL = Model(
    name="depth_only",
    label="Depth only (adversary)",
    tasks=("batch_integration", "cell_type_annotation", "perturbation_prediction"),
    load=DepthOnly,
    is_adversary=True,
)
