"""Places a gene by the biological processes that it is annotated with, and looks at no cell."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from leaderboard.models._genes import gene_table
from leaderboard.models._go import RESOURCE, go_embedding
from leaderboard.spec import Model, RunContext

if TYPE_CHECKING:
    from anndata import AnnData


@dataclass(frozen=True)
class GeneGoTerms:
    """Principal components of the genes' GO terms; a gene without a term is a row of zeros."""

    n_dims: int = 100
    smallest: int = 5
    largest: int = 500

    def embed_genes(
        self, _inputs: "AnnData", queries: pd.DataFrame, run: RunContext
    ) -> pd.DataFrame:
        """Return a dimension for every component."""
        terms = go_embedding(queries["gene"].astype(str), run, self.smallest, self.largest)
        left, sizes, _ = np.linalg.svd(terms.to_numpy(), full_matrices=False)
        places = left[:, : self.n_dims] * sizes[: self.n_dims]
        places *= np.sign(places[np.abs(places).argmax(axis=0), np.arange(places.shape[1])])
        known = pd.DataFrame(places, index=terms.index)
        return gene_table(queries, known.reindex(queries["gene"], fill_value=0.0).to_numpy())


MODEL = Model(
    name="gene_go_terms",
    label="GO terms of a gene",
    tasks=("gene_property",),
    load=GeneGoTerms,
    resources=(RESOURCE,),
    suites=("public_small", "public_large"),
)
