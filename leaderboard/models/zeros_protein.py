"""No protein anywhere: what an answer of zeros scores in the unit of the board."""

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from leaderboard.models._inputs import test_cells
from leaderboard.models._proteins import protein_names, protein_prediction
from leaderboard.spec import Model, RunContext

if TYPE_CHECKING:
    from anndata import AnnData


class ZerosProtein:
    """Zeros."""

    def predict_proteins(self, inputs: "AnnData", _run: RunContext) -> pd.DataFrame:
        """Return zero for every protein of every test cell."""
        shape = int(test_cells(inputs).sum()), len(protein_names(inputs))
        return protein_prediction(inputs, np.zeros(shape))


MODEL = Model(
    name="zeros_protein",
    label="Zeros",
    tasks=("modality_prediction",),
    load=ZerosProtein,
)
