"""An adversary that answers every question alike: one label, one profile without any gene in it."""

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from leaderboard.models._genes import gene_table
from leaderboard.models._inputs import (
    annotation,
    control_profiles,
    embedding_table,
    labels,
    perturbation_prediction,
    test_cells,
)
from leaderboard.models._proteins import known_proteins, protein_names, protein_prediction
from leaderboard.models._regulation import edge_table, regulator_places
from leaderboard.spec import Model, RunContext

if TYPE_CHECKING:
    from anndata import AnnData


class Constant:
    """The first label of the alphabet; one level of expression for every gene; one edge weight."""

    def annotate(self, inputs: "AnnData", _run: RunContext) -> pd.DataFrame:
        """Return one training label for all cells."""
        return annotation(inputs, np.repeat(np.unique(labels(inputs))[0], test_cells(inputs).sum()))

    def embed(self, inputs: "AnnData", _run: RunContext) -> pd.DataFrame:
        """Return one place for all cells."""
        return embedding_table(inputs, np.zeros((inputs.n_obs, 1)))

    def predict(self, inputs: "AnnData", queries: pd.DataFrame, _run: RunContext) -> pd.DataFrame:
        """Return one number for all genes and queries."""
        level = float(control_profiles(inputs).to_numpy().mean())
        rows = np.full((len(queries), inputs.n_vars), level)
        return perturbation_prediction(queries, rows, inputs.var_names)

    def predict_proteins(self, inputs: "AnnData", _run: RunContext) -> pd.DataFrame:
        """Return one number for all proteins and cells."""
        shape = int(test_cells(inputs).sum()), len(protein_names(inputs))
        return protein_prediction(inputs, np.full(shape, known_proteins(inputs).mean()))

    def score_edges(
        self, inputs: "AnnData", queries: pd.DataFrame, _run: RunContext
    ) -> pd.DataFrame:
        """Return the same weight for every pair, as many pairs as a prediction may hold."""
        regulators = regulator_places(inputs, queries)
        return edge_table(inputs, regulators, np.ones((len(regulators), inputs.n_vars)))

    def embed_genes(
        self, _inputs: "AnnData", queries: pd.DataFrame, _run: RunContext
    ) -> pd.DataFrame:
        """Return one place for all genes."""
        return gene_table(queries, np.ones((len(queries), 1)))


MODEL = Model(
    name="constant",
    label="Constant (adversary)",
    tasks=(
        "batch_integration",
        "cell_type_annotation",
        "gene_network",
        "gene_property",
        "modality_prediction",
        "perturbation_prediction",
    ),
    load=Constant,
    is_adversary=True,
)
