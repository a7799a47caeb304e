"""The vote of the nearest fitted cells in any embedding."""

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from jaxtyping import Float

from leaderboard.models._inputs import annotation, fitted, labels, test_cells

if TYPE_CHECKING:
    from anndata import AnnData


def knn_annotation(
    inputs: "AnnData", embedding: Float[np.ndarray, "cells dims"], k: int
) -> pd.DataFrame:
    """Return the commonest label of the k nearest fitted cells, with shares of votes.

    ``embedding`` has a row a cell of ``inputs``; distances are Euclidean and every vote counts the
    same. Fitted cells stand in the order of their ids, and labels that tie in that of their names,
    so the order of cells cannot matter.
    """
    from sklearn.neighbors import NearestNeighbors

    is_fitted = fitted(inputs)
    order = np.argsort(inputs.obs_names[is_fitted].to_numpy(dtype=str))
    names, label = np.unique(labels(inputs)[order], return_inverse=True)
    search = NearestNeighbors(n_neighbors=min(k, len(order)), algorithm="brute")
    search.fit(embedding[is_fitted][order])
    near = label[search.kneighbors(embedding[test_cells(inputs)], return_distance=False)]
    votes = np.stack([(near == number).mean(axis=1) for number in range(len(names))], axis=1)
    return annotation(inputs, names[votes.argmax(axis=1)], (names, votes))
