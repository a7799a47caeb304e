"""Weights without a look at the counts: what a random order of the candidates scores."""

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from leaderboard.models._regulation import edge_table, regulator_places
from leaderboard.spec import Model, RunContext

if TYPE_CHECKING:
    from anndata import AnnData


class RandomEdges:
    """Every pair gets a weight between -1 and 1."""

    def score_edges(
        self, inputs: "AnnData", queries: pd.DataFrame, run: RunContext
    ) -> pd.DataFrame:
        """Return every pair with a weight drawn evenly."""
        regulators = regulator_places(inputs, queries)
        rng = np.random.default_rng(run.seed)
        weights = rng.uniform(-1.0, 1.0, (len(regulators), inputs.n_vars))
        return edge_table(inputs, regulators, weights)


MODEL = Model(
    name="random_edges",
    label="Random edges",
    tasks=("gene_network",),
    load=RandomEdges,
    is_stochastic=True,
)
