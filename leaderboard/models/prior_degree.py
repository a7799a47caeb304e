"""Knows how many other regulators each gene has: what popularity in the truth alone scores."""

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from leaderboard.io import read_parquet
from leaderboard.models._regulation import edge_table, regulator_places, same_for_all
from leaderboard.models._truth import truth_folder
from leaderboard.spec import Model, RunContext

if TYPE_CHECKING:
    from anndata import AnnData


class PriorDegree:
    """In-degree is a property of the truth, so this is a control: a reference, no competitor."""

    def score_edges(
        self, inputs: "AnnData", queries: pd.DataFrame, run: RunContext
    ) -> pd.DataFrame:
        """Return every pair, weighted by the target's in-degree from other regulators."""
        folder, genes = truth_folder(run), inputs.var_names.astype(str)
        regulators = regulator_places(inputs, queries)
        degree = read_parquet(folder / "groups.parquet").set_index("gene")["in_degree"]
        weights = same_for_all(regulators, degree[genes].to_numpy(dtype=np.float64))
        truth = read_parquet(folder / "truth.parquet")
        row = pd.Index(genes[regulators]).get_indexer(truth["regulator"])
        weights[row, genes.get_indexer(truth["target"])] -= 1.0
        return edge_table(inputs, regulators, weights)


MODEL = Model(
    name="prior_degree",
    label="In-degree in the truth",
    tasks=("gene_network",),
    load=PriorDegree,
    sees_truth=True,
)
