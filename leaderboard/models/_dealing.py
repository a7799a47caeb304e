"""Places dealt to other cells: how the adversaries of integration cheat."""

from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float, Shaped

from leaderboard.models._hvg_pca import hvg_pca

if TYPE_CHECKING:
    from anndata import AnnData

N_GENES, N_DIMS = 2000, 30
"""The components that are dealt: those of the baseline ``hvg-pca``."""
SPREAD = 0.01
"""Of a cell around the place of its label, which lies at least 1 from any other: without it
thousands of cells tie for nearest neighbour."""


def dealt(
    inputs: "AnnData", group: Shaped[np.ndarray, " cells"], seed: int
) -> Float[np.ndarray, "cells dims"]:
    """Return HVG-PCA with the places of a group's cells dealt anew among them."""
    places = hvg_pca(inputs, N_GENES, N_DIMS)
    rng, found = np.random.default_rng(seed), places.copy()
    order = np.argsort(inputs.obs_names.to_numpy(dtype=str), kind="stable")
    for name in np.unique(group):
        members = order[group[order] == name]
        found[members] = places[rng.permutation(members)]
    return found


def around(
    inputs: "AnnData", places: Float[np.ndarray, "cells dims"], spread: float = SPREAD
) -> Float[np.ndarray, "cells dims"]:
    """Return places with Gaussian noise that depends on the ids of the cells alone."""
    order = np.argsort(inputs.obs_names.to_numpy(dtype=str), kind="stable")
    found = places.astype(np.float64)
    found[order] += np.random.default_rng(0).normal(0.0, spread, found.shape)
    return found
