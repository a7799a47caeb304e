"""An adversary that is told the types and looks at no gene: a place for every label."""

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from leaderboard.models._dealing import around
from leaderboard.models._inputs import embedding_table
from leaderboard.spec import Model, RunContext

if TYPE_CHECKING:
    from anndata import AnnData


class OneHotLabels:
    """A dimension for every label, and a little noise that breaks ties."""

    def embed(self, inputs: "AnnData", _run: RunContext) -> pd.DataFrame:
        """Return the label of every cell as a place."""
        names, code = np.unique(inputs.obs["cell_type"].to_numpy(dtype=str), return_inverse=True)
        return embedding_table(inputs, around(inputs, np.eye(len(names))[code]))


MODEL = Model(
    name="one_hot_labels",
    label="One-hot labels (adversary)",
    tasks=("batch_integration",),
    load=OneHotLabels,
    is_adversary=True,
    uses_labels=True,
)
