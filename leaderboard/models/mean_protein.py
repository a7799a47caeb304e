"""The mean of every protein over the training cells, for all cells: it looks at no cell."""

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from leaderboard.models._inputs import test_cells
from leaderboard.models._proteins import known_proteins, protein_prediction
from leaderboard.spec import Model, RunContext

if TYPE_CHECKING:
    from anndata import AnnData


class MeanProtein:
    """One profile of proteins."""

    def predict_proteins(self, inputs: "AnnData", _run: RunContext) -> pd.DataFrame:
        """Return the same mean profile for every test cell."""
        mean = known_proteins(inputs).mean(axis=0)
        return protein_prediction(inputs, np.tile(mean, (int(test_cells(inputs).sum()), 1)))


MODEL = Model(
    name="mean_protein",
    label="Mean per protein",
    tasks=("modality_prediction",),
    load=MeanProtein,
)
