"""Knows the noise-free truth of simulated data: what the best possible model would score."""

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from leaderboard.io import read_parquet
from leaderboard.models._genes import gene_table
from leaderboard.models._inputs import (
    annotation,
    embedding_table,
    perturbation_prediction,
)
from leaderboard.models._proteins import (
    protein_prediction,
)
from leaderboard.models._truth import (
    hidden_proteins,
    true_labels,
    true_places,
    true_property,
    truth_folder,
)
from leaderboard.spec import Model, RunContext

if TYPE_CHECKING:
    from anndata import AnnData


class Oracle:
    """All that a simulator keeps without noise: labels, profiles, network, proteins, properties."""

    def annotate(self, inputs: "AnnData", run: RunContext) -> pd.DataFrame:
        """Return the true label of every test cell."""
        return annotation(inputs, true_labels(inputs, run)["label"])

    def embed(self, inputs: "AnnData", run: RunContext) -> pd.DataFrame:
        """Return every cell near its type's mean, which knows neither batch nor donor."""
        return embedding_table(inputs, true_places(inputs, run))

    def predict(self, inputs: "AnnData", queries: pd.DataFrame, run: RunContext) -> pd.DataFrame:
        """Return the noise-free mean profile of every query."""
        means = read_parquet(truth_folder(run) / "true_mean.parquet")
        means = means.set_index(["perturbation", "context"])
        asked = pd.MultiIndex.from_frame(queries[["perturbation", "context"]])
        profiles = means.loc[asked, list(inputs.var_names)].to_numpy()
        return perturbation_prediction(queries, profiles, inputs.var_names)

    def predict_proteins(self, inputs: "AnnData", run: RunContext) -> pd.DataFrame:
        """Return the noise-free proteins of every test cell."""
        return protein_prediction(inputs, hidden_proteins(inputs, run, "mean:"))

    def score_edges(
        self, _inputs: "AnnData", _queries: pd.DataFrame, run: RunContext
    ) -> pd.DataFrame:
        """Return the true edges, each with its sign."""
        truth = read_parquet(truth_folder(run) / "truth.parquet")
        edges = truth[["regulator", "target"]]
        return edges.assign(weight=truth["sign"].to_numpy(dtype=np.float32))

    def embed_genes(
        self, _inputs: "AnnData", queries: pd.DataFrame, run: RunContext
    ) -> pd.DataFrame:
        """Return whether each gene has the property."""
        return gene_table(queries, true_property(queries, run)[:, None])


MODEL = Model(
    name="oracle",
    label="Oracle (knows the truth)",
    tasks=(
        "batch_integration",
        "cell_type_annotation",
        "gene_network",
        "gene_property",
        "modality_prediction",
        "perturbation_prediction",
    ),
    load=Oracle,
    sees_truth=True,
    suites=("known_truth",),
)
