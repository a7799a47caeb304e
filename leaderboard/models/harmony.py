"""Harmony: soft clusters of principal components, each moved until its batches agree."""

from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from leaderboard.errors import ConfigError
from leaderboard.models._hvg_pca import hvg_pca
from leaderboard.models._inputs import embedding_table
from leaderboard.spec import Model, RunContext

if TYPE_CHECKING:
    from anndata import AnnData


@dataclass(frozen=True)
class Harmony:
    """Korsunsky et al. 2019, doi:10.1038/s41592-019-0619-0, by harmonypy (GPL-3, an extra)."""

    n_genes: int = 2000
    n_dims: int = 30

    def embed(self, inputs: "AnnData", run: RunContext) -> pd.DataFrame:
        """Return corrected components; needs the extra ``harmony``."""
        try:
            harmonypy = import_module("harmonypy")
        except ImportError as error:
            raise ConfigError(
                f"Harmony needs harmonypy 2.1.0 (GPL-3), which is not here ({error}); "
                "pip install 'heldout[harmony]'."
            ) from error
        # Its seeded start depends on the order of cells, so they are given in that of their ids.
        order = np.argsort(inputs.obs_names.to_numpy(dtype=str), kind="stable")
        places = hvg_pca(inputs, self.n_genes, self.n_dims)
        batch = pd.DataFrame({"batch": inputs.obs["batch"].astype(str).to_numpy()[order]})
        found = harmonypy.run_harmony(
            places[order], batch, "batch", random_state=run.seed, verbose=False
        )
        values = np.empty_like(places)
        values[order] = np.asarray(found.Z_corr)
        return embedding_table(inputs, values)


MODEL = Model(
    name="harmony",
    label="Harmony",
    tasks=("batch_integration",),
    load=Harmony,
    is_stochastic=True,
)
