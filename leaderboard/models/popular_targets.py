"""An adversary that gives every regulator the same targets: the genes that are expressed most."""

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from leaderboard.models._regulation import edge_table, expression, regulator_places, same_for_all
from leaderboard.spec import Model, RunContext

if TYPE_CHECKING:
    from anndata import AnnData


class PopularTargets:
    """What is well measured is well studied: in a curated network it has many regulators."""

    def score_edges(
        self, inputs: "AnnData", queries: pd.DataFrame, _run: RunContext
    ) -> pd.DataFrame:
        """Return every pair, weighted by the mean expression of its target."""
        regulators = regulator_places(inputs, queries)
        mean = np.asarray(expression(inputs).mean(axis=0)).ravel()
        return edge_table(inputs, regulators, same_for_all(regulators, mean))


MODEL = Model(
    name="popular_targets",
    label="Popular targets (adversary)",
    tasks=("gene_network",),
    load=PopularTargets,
    is_adversary=True,
)
