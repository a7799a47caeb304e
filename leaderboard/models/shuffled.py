"""The truth dealt to the wrong cells, genes or targets: it must score like knowing nothing."""

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from leaderboard.io import read_parquet
from leaderboard.models._genes import gene_table
from leaderboard.models._inputs import (
    annotation,
    control_profiles,
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


class Shuffled:
    """Keeps a unit's labels or proteins, the sizes of a shift's effects, or a regulator's signs."""

    def annotate(self, inputs: "AnnData", run: RunContext) -> pd.DataFrame:
        """Return the true labels of every unit's cells in random order."""
        truth = true_labels(inputs, run)
        rng = np.random.default_rng(run.seed)
        return annotation(inputs, truth["label"].to_numpy()[_dealt(truth["unit"], rng)])

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

    def predict_proteins(self, inputs: "AnnData", run: RunContext) -> pd.DataFrame:
        """Return the true proteins of another cell of the unit."""
        unit = true_labels(inputs, run)["unit"]
        other = _dealt(unit, np.random.default_rng(run.seed))
        return protein_prediction(inputs, hidden_proteins(inputs, run, "true:")[other])

    def score_edges(
        self, inputs: "AnnData", _queries: pd.DataFrame, run: RunContext
    ) -> pd.DataFrame:
        """Return as many edges of every regulator, with its signs, to targets drawn at random."""
        truth = read_parquet(truth_folder(run) / "truth.parquet")
        genes, rng = np.sort(inputs.var_names.to_numpy(dtype=str)), np.random.default_rng(run.seed)
        tables = []
        for name, edges in truth.groupby("regulator", sort=True):
            targets = rng.choice(genes[genes != name], len(edges), replace=False)
            weight = edges["sign"].to_numpy(dtype=np.float32)
            columns = {"regulator": str(name), "target": targets, "weight": weight}
            tables.append(pd.DataFrame(columns))
        return pd.concat(tables, ignore_index=True)

    def embed_genes(
        self, _inputs: "AnnData", queries: pd.DataFrame, run: RunContext
    ) -> pd.DataFrame:
        """Return for each gene whether another one has the property."""
        truth = true_property(queries, run)
        return gene_table(queries, np.random.default_rng(run.seed).permutation(truth)[:, None])


def _dealt(unit: "pd.Series[str]", rng: np.random.Generator) -> np.ndarray:
    """Return for every cell the position of the cell of its unit whose truth it is given."""
    position = np.arange(len(unit))
    for name in np.unique(unit):
        members = np.flatnonzero(unit == name)
        position[members] = rng.permutation(members)
    return position


MODEL = Model(
    name="shuffled",
    label="Shuffled truth",
    tasks=(
        "batch_integration",
        "cell_type_annotation",
        "gene_network",
        "gene_property",
        "modality_prediction",
        "perturbation_prediction",
    ),
    load=Shuffled,
    sees_truth=True,
    is_stochastic=True,
)
