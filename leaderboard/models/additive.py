"""Adds up the shifts of the single perturbations that make a combination."""

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from leaderboard.models._inputs import control_profiles, perturbation_prediction, training_shifts
from leaderboard.spec import Model, RunContext

if TYPE_CHECKING:
    from anndata import AnnData


class Additive:
    """c + shift of a + shift of b; a single that training lacks gets the mean shift of training.

    A single's shift is that of the query's context where training has it, else the mean over the
    other contexts (Ahlmann-Eltze et al. 2025, doi:10.1038/s41592-025-02772-6).
    """

    def predict(self, inputs: "AnnData", queries: pd.DataFrame, run: RunContext) -> pd.DataFrame:
        """Return one profile a query; logs the share of queried genes whose single was seen."""
        shifts = training_shifts(inputs)
        by_name, overall = shifts.groupby(level="perturbation").mean(), shifts.mean()
        controls = control_profiles(inputs)
        rows, seen = [], []
        for perturbation, context in queries[["perturbation", "context"]].itertuples(index=False):
            row = controls.loc[context].to_numpy(copy=True)
            for gene in perturbation.split("+"):
                seen.append(gene in by_name.index)
                if (gene, context) in shifts.index:
                    row += shifts.loc[(gene, context)].to_numpy()
                else:
                    row += (by_name.loc[gene] if seen[-1] else overall).to_numpy()
            rows.append(row)
        run.log("seen_singles", float(np.mean(seen)), 0)
        return perturbation_prediction(queries, np.stack(rows), inputs.var_names)


MODEL = Model(
    name="additive",
    label="Additive shifts",
    tasks=("perturbation_prediction",),
    load=Additive,
)
