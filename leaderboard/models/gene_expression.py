"""Places a gene by how much of it there is, and in how many cells: no biology besides."""

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from leaderboard.models._genes import asked_expression, gene_table
from leaderboard.spec import Model, RunContext

if TYPE_CHECKING:
    from anndata import AnnData


class GeneExpression:
    """Log of mean expression, and the share of cells with a count."""

    def embed_genes(
        self, inputs: "AnnData", queries: pd.DataFrame, _run: RunContext
    ) -> pd.DataFrame:
        """Return two dimensions a gene."""
        values, _ = asked_expression(inputs, queries)
        places = np.column_stack([np.log1p(values.mean(axis=0)), (values > 0).mean(axis=0)])
        return gene_table(queries, places)


MODEL = Model(
    name="gene_expression",
    label="Expression level of a gene",
    tasks=("gene_property",),
    load=GeneExpression,
)
