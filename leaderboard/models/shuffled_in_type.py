"""An adversary that is told the types: it keeps them as they lie and mixes batches by chance."""

from typing import TYPE_CHECKING

import pandas as pd

from leaderboard.models._dealing import dealt
from leaderboard.models._inputs import embedding_table
from leaderboard.spec import Model, RunContext

if TYPE_CHECKING:
    from anndata import AnnData


class ShuffledInType:
    """HVG-PCA, dealt among the cells of a type."""

    def embed(self, inputs: "AnnData", run: RunContext) -> pd.DataFrame:
        """Return every cell at the place of another one."""
        group = inputs.obs["cell_type"].to_numpy(dtype=str)
        return embedding_table(inputs, dealt(inputs, group, run.seed))


MODEL = Model(
    name="shuffled_in_type",
    label="Shuffled within type (adversary)",
    tasks=("batch_integration",),
    load=ShuffledInType,
    is_adversary=True,
    is_stochastic=True,
    uses_labels=True,
)
