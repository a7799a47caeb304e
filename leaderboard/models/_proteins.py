"""What the models that predict proteins share."""

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from jaxtyping import Float

from leaderboard.models._inputs import fitted, test_cells

if TYPE_CHECKING:
    from anndata import AnnData


def protein_names(inputs: "AnnData") -> list[str]:
    """Return the proteins in the order of ``inputs.obsm["protein"]``."""
    return list(map(str, inputs.uns["protein_names"]))


def known_proteins(inputs: "AnnData") -> Float[np.ndarray, "cells proteins"]:
    """Return the proteins of the fitted cells, in the unit of the board."""
    values: Float[np.ndarray, "cells proteins"] = np.asarray(
        inputs.obsm["protein"], dtype=np.float64
    )[fitted(inputs)]
    return values


def protein_prediction(
    inputs: "AnnData", values: Float[np.ndarray, "cells proteins"]
) -> pd.DataFrame:
    """Return a prediction table: one row of proteins a test cell, in the order of ``inputs``."""
    cells = inputs.obs_names[test_cells(inputs)].astype(str)
    table = pd.DataFrame(np.asarray(values, dtype=np.float32), columns=protein_names(inputs))
    table.insert(0, "cell_id", cells)
    return table
