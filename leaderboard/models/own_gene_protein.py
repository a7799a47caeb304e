"""Every protein from the counts of the gene that has its name, by a straight line."""

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from leaderboard.models._inputs import fitted, log_counts, test_cells
from leaderboard.models._proteins import known_proteins, protein_names, protein_prediction
from leaderboard.spec import Model, RunContext

if TYPE_CHECKING:
    from anndata import AnnData


class OwnGeneProtein:
    """Least squares of protein on log-normalised counts; the mean where no gene has the name."""

    def predict_proteins(self, inputs: "AnnData", run: RunContext) -> pd.DataFrame:
        """Return the line's value for proteins with a gene of their name that varies."""
        values = known_proteins(inputs)
        names, genes = protein_names(inputs), inputs.var_names.astype(str)
        has_gene = np.flatnonzero(np.isin(names, genes))
        run.log("proteins with a gene of their name", float(len(has_gene)), 0)
        counts = log_counts(inputs)[:, genes.get_indexer(np.array(names)[has_gene])].toarray()
        known, asked = counts[fitted(inputs)], counts[test_cells(inputs)]
        centre, mean = known.mean(axis=0), values.mean(axis=0)
        spread = ((known - centre) ** 2).sum(axis=0)
        shared = ((known - centre) * (values[:, has_gene] - mean[has_gene])).sum(axis=0)
        slope = np.divide(shared, spread, out=np.zeros_like(spread), where=spread > 0)
        predicted = np.tile(mean, (len(asked), 1))
        predicted[:, has_gene] += slope * (asked - centre)
        return protein_prediction(inputs, predicted)


MODEL = Model(
    name="own_gene_protein",
    label="Own gene",
    tasks=("modality_prediction",),
    load=OwnGeneProtein,
)
