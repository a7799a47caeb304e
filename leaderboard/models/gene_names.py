"""Places a gene by the letters of its symbol: families are named alike, and looks at no cell."""

import re
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from leaderboard.models._genes import gene_table
from leaderboard.spec import Model, RunContext

if TYPE_CHECKING:
    from anndata import AnnData

LETTERS = re.compile(r"[A-Za-z]*")


class GeneNames:
    """A dimension for every run of leading letters (``ZNF``, ``HOXA``) that asked genes share."""

    def embed_genes(
        self, _inputs: "AnnData", queries: pd.DataFrame, _run: RunContext
    ) -> pd.DataFrame:
        """Return 1 in the dimension of the gene's letters, 0 elsewhere."""
        letters = queries["gene"].str.extract(f"^({LETTERS.pattern})", expand=False)
        sizes = letters.value_counts()
        shared = np.sort(sizes.index[sizes > 1].to_numpy(dtype=str))
        if not len(shared):
            return gene_table(queries, np.zeros((len(queries), 1)))
        return gene_table(queries, letters.to_numpy(dtype=str)[:, None] == shared)


MODEL = Model(
    name="gene_names",
    label="Letters of a gene's symbol",
    tasks=("gene_property",),
    load=GeneNames,
)
