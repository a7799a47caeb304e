"""An adversary that keeps batches apart and loses every type: nothing that is good is left."""

from typing import TYPE_CHECKING

import pandas as pd

from leaderboard.models._dealing import dealt
from leaderboard.models._inputs import embedding_table
from leaderboard.spec import Model, RunContext

if TYPE_CHECKING:
    from anndata import AnnData


class ShuffledInBatch:
    """HVG-PCA, dealt among the cells of a batch."""

    def embed(self, inputs: "AnnData", run: RunContext) -> pd.DataFrame:
        """Return every cell at the place of another one."""
        group = inputs.obs["batch"].to_numpy(dtype=str)
        return embedding_table(inputs, dealt(inputs, group, run.seed))


MODEL = Model(
    name="shuffled_in_batch",
    label="Shuffled within batch (adversary)",
    tasks=("batch_integration",),
    load=ShuffledInBatch,
    is_adversary=True,
    is_stochastic=True,
)
