"""Correlation of ranks over cells: what a few cells with many counts cannot make alone."""

from typing import TYPE_CHECKING

import pandas as pd

from leaderboard.models._regulation import (
    correlations,
    edge_table,
    expression,
    ranks,
    regulator_places,
)
from leaderboard.spec import Model, RunContext

if TYPE_CHECKING:
    from anndata import AnnData


class SpearmanEdges:
    """Rank correlation over all cells of size-normalised counts, ties at their mean rank."""

    def score_edges(
        self, inputs: "AnnData", queries: pd.DataFrame, _run: RunContext
    ) -> pd.DataFrame:
        """Return every pair of regulator and gene with its rank correlation."""
        regulators = regulator_places(inputs, queries)
        return edge_table(inputs, regulators, correlations(ranks(expression(inputs)), regulators))


MODEL = Model(
    name="spearman_edges",
    label="Spearman correlation",
    tasks=("gene_network",),
    load=SpearmanEdges,
)
