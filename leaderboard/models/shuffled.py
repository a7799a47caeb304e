"""The truth dealt to the wrong cells or genes: it must score like knowing nothing."""

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from leaderboard.io import read_parquet
from leaderboard.models._inputs import (
    annotation,
    control_profiles,
    embedding_table,
    perturbation_prediction,
)
from leaderboard.models._truth import true_labels, true_places, truth_folder
from leaderboard.spec import Model, RunContext

if TYPE_CHECKING:
    from anndata import AnnData


class Shuffled:
    """Keeps the label frequencies of every unit, or the sizes of a shift's effects."""

    def annotate(self, inputs: "AnnData", run: RunContext) -> pd.DataFrame:
        """Return the true labels of every unit's cells in random order."""
        truth = true_labels(inputs, run)
        rng = np.random.default_rng(run.seed)
        shuffled = truth["label"].copy()
        for unit in np.unique(truth["unit"]):
            members = (truth["unit"] == unit).to_numpy()
            shuffled[members] = rng.permutation(truth.loc[members, "label"].to_numpy())
        return annotation(inputs, shuffled)

    def embed(self, inputs: "AnnData", run: RunContext) -> pd.DataFrame:
        """Return the places of the oracle, each with another cell."""
        places = true_places(inputs, run)
        return embedding_table(inputs, np.random.default_rng(run.seed).permutation(places))

    def predict(self, inputs: "AnnData", queries: pd.DataFrame, run: RunContext) -> pd.DataFrame:
        """Return control mean + the true shift of the query, its genes in random order."""
        groups = read_parquet(truth_folder(run) / "groups.parquet")
        moments = read_parquet(truth_folder(run) / "moments.parquet").set_index("gene")
        controls = control_profiles(inputs)
        rng = np.random.default_rng(run.seed)
        rows = []
        for perturbation, context in queries[["perturbation", "context"]].itertuples(index=False):
            control = controls.loc[context].to_numpy()
            asked = (groups["perturbation"] == perturbation) & (groups["context"] == context)
            numbers = groups.index[asked & (groups["role"] == "test")]
            means = moments.loc[list(inputs.var_names), [f"mean:{k}" for k in numbers]]
            truth = means.mean(axis=1).to_numpy()
            rows.append(control + rng.permutation(truth - control))
        return perturbation_prediction(queries, np.stack(rows), inputs.var_names)


MODEL = Model(
    name="shuffled",
    label="Shuffled truth",
    tasks=("batch_integration", "cell_type_annotation", "perturbation_prediction"),
    load=Shuffled,
    sees_truth=True,
    is_stochastic=True,
)
