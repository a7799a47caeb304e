"""Averages the training profiles of the genes that a combination shares with training."""

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from leaderboard.models._inputs import perturbation_prediction, training_profiles
from leaderboard.spec import Model, RunContext

if TYPE_CHECKING:
    from anndata import AnnData


class MatchingMean:
    """Mean over the query's genes of each gene's training profile, else of the training mean.

    A gene's profile is that of its single, in the query's context where training has it (Vinas
    Torne et al. 2025, Systema, doi:10.1038/s41587-025-02777-8).
    """

    def predict(self, inputs: "AnnData", queries: pd.DataFrame, _run: RunContext) -> pd.DataFrame:
        """Return one profile a query."""
        profiles = training_profiles(inputs)
        by_context = profiles.groupby(level="context").mean()
        by_name, overall = profiles.groupby(level="perturbation").mean(), profiles.mean()
        rows = []
        for perturbation, context in queries[["perturbation", "context"]].itertuples(index=False):
            centre = by_context.loc[context] if context in by_context.index else overall
            found = []
            for gene in perturbation.split("+"):
                if (gene, context) in profiles.index:
                    found.append(profiles.loc[(gene, context)].to_numpy())
                else:
                    found.append(
                        (by_name.loc[gene] if gene in by_name.index else centre).to_numpy()
                    )
            rows.append(np.mean(found, axis=0))
        return perturbation_prediction(queries, np.stack(rows), inputs.var_names)


MODEL = Model(
    name="matching_mean",
    label="Matching mean",
    tasks=("perturbation_prediction",),
    load=MatchingMean,
)
