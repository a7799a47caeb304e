"""Cells for metrics that look at single cells, drawn from cells that inputs show."""

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float

from leaderboard.models._inputs import log_counts

if TYPE_CHECKING:
    from anndata import AnnData


def draw_cells(
    inputs: "AnnData",
    queries: pd.DataFrame,
    pools: dict[str, Bool[np.ndarray, " cells"]],
    seed: int,
) -> pd.DataFrame:
    """Draw as many cells as the board asks for from the pool of every query's context.

    With replacement, and whatever is asked. Cells are sorted by id first, so that their order
    cannot matter.
    """
    order = np.argsort(inputs.obs_names.to_numpy(dtype=str), kind="stable")
    n_cells = int(inputs.uns["cells"])
    values, rng = log_counts(inputs), np.random.default_rng(seed)
    blocks: list[Float[np.ndarray, "draws genes"]] = []
    for context in queries["context"]:
        members = order[pools[context][order]]
        blocks.append(values[rng.choice(members, n_cells)].toarray().astype(np.float32))
    keys = queries[["perturbation", "context"]].loc[queries.index.repeat(n_cells)]
    keys = keys.reset_index(drop=True).assign(draw=np.tile(np.arange(n_cells), len(queries)))
    genes = list(map(str, inputs.var_names))
    return pd.concat([keys, pd.DataFrame(np.vstack(blocks), columns=genes)], axis=1)
