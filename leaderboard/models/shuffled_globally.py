"""An adversary without any biology: batches mix perfectly where cells are placed at random."""

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from leaderboard.models._dealing import dealt
from leaderboard.models._inputs import embedding_table
from leaderboard.spec import Model, RunContext

if TYPE_CHECKING:
    from anndata import AnnData


class ShuffledGlobally:
    """HVG-PCA, dealt to any cell."""

    def embed(self, inputs: "AnnData", run: RunContext) -> pd.DataFrame:
        """Return every cell at the place of another one."""
        group = np.zeros(inputs.n_obs, dtype=int)
        return embedding_table(inputs, dealt(inputs, group, run.seed))


MODEL = Model(
    name="shuffled_globally",
    label="Shuffled globally (adversary)",
    tasks=("batch_integration",),
    load=ShuffledGlobally,
    is_adversary=True,
    is_stochastic=True,
)
