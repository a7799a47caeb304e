"""An adversary that answers nothing and hopes that a hole counts as a baseline: it is refused."""

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from leaderboard.models._genes import gene_table
from leaderboard.models._inputs import (
    annotation,
    embedding_table,
    labels,
    perturbation_prediction,
    test_cells,
)
from leaderboard.models._proteins import protein_names, protein_prediction
from leaderboard.models._regulation import regulator_places
from leaderboard.spec import Model, RunContext

if TYPE_CHECKING:
    from anndata import AnnData


class NanFiller:
    """Probabilities, profiles and weights of NaN; the checks of the task make the entry failed."""

    def annotate(self, inputs: "AnnData", _run: RunContext) -> pd.DataFrame:
        """Return labels with probabilities that are not a number."""
        names, n = np.unique(labels(inputs)), int(test_cells(inputs).sum())
        nothing = np.full((n, len(names)), np.nan)
        return annotation(inputs, np.repeat(names[0], n), (names, nothing))

    def embed(self, inputs: "AnnData", _run: RunContext) -> pd.DataFrame:
        """Return places that are not a number."""
        return embedding_table(inputs, np.full((inputs.n_obs, 2), np.nan))

    def predict(self, inputs: "AnnData", queries: pd.DataFrame, _run: RunContext) -> pd.DataFrame:
        """Return profiles that are not a number."""
        nothing = np.full((len(queries), inputs.n_vars), np.nan)
        return perturbation_prediction(queries, nothing, inputs.var_names)

    def predict_proteins(self, inputs: "AnnData", _run: RunContext) -> pd.DataFrame:
        """Return proteins that are not a number."""
        shape = int(test_cells(inputs).sum()), len(protein_names(inputs))
        return protein_prediction(inputs, np.full(shape, np.nan))

    def score_edges(
        self, inputs: "AnnData", queries: pd.DataFrame, _run: RunContext
    ) -> pd.DataFrame:
        """Return edges of the first regulator whose weights are not a number."""
        genes = inputs.var_names.to_numpy(dtype=str)
        name = genes[regulator_places(inputs, queries)[0]]
        edges = pd.DataFrame({"regulator": name, "target": genes[genes != name]})
        return edges.assign(weight=np.float32(np.nan))

    def embed_genes(
        self, _inputs: "AnnData", queries: pd.DataFrame, _run: RunContext
    ) -> pd.DataFrame:
        """Return places that are not a number."""
        return gene_table(queries, np.full((len(queries), 2), np.nan))


MODEL = Model(
    name="nan_filler",
    label="NaN filler (adversary)",
    tasks=(
        "batch_integration",
        "cell_type_annotation",
        "gene_network",
        "gene_property",
        "modality_prediction",
        "perturbation_prediction",
    ),
    load=NanFiller,
    is_adversary=True,
)
