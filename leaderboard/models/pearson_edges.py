"""Genes that rise and fall together over cells: what correlation alone tells of a network."""

from typing import TYPE_CHECKING

import pandas as pd

from leaderboard.models._regulation import correlations, edge_table, expression, regulator_places
from leaderboard.spec import Model, RunContext

if TYPE_CHECKING:
    from anndata import AnnData


class PearsonEdges:
    """Correlation over all cells of log1p size-normalised counts; its sign is the effect's."""

    def score_edges(
        self, inputs: "AnnData", queries: pd.DataFrame, _run: RunContext
    ) -> pd.DataFrame:
        """Return every pair of regulator and gene with its correlation."""
        regulators = regulator_places(inputs, queries)
        return edge_table(inputs, regulators, correlations(expression(inputs), regulators))


MODEL = Model(
    name="pearson_edges",
    label="Pearson correlation",
    tasks=("gene_network",),
    load=PearsonEdges,
)
