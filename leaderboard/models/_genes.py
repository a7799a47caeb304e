"""What models that place genes share: the table of a prediction, expression of the asked genes."""

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from jaxtyping import Float

from leaderboard.models._regulation import expression

if TYPE_CHECKING:
    from anndata import AnnData


def gene_table(queries: pd.DataFrame, places: Float[np.ndarray, "genes dims"]) -> pd.DataFrame:
    """Return ``gene d0 d1 ...`` from places in the order of ``queries``."""
    dims = [f"d{k}" for k in range(places.shape[1])]
    table = pd.DataFrame(np.asarray(places, dtype=np.float32), columns=dims)
    table.insert(0, "gene", queries["gene"].to_numpy(dtype=str))
    return table


def asked_expression(
    inputs: "AnnData", queries: pd.DataFrame
) -> tuple[Float[np.ndarray, "cells genes"], Float[np.ndarray, " cells"]]:
    """Return log1p counts of the asked genes, scaled to the median total, and log totals.

    Cells in the order of their ids, genes in that of ``queries``.
    """
    order = np.argsort(inputs.obs_names.to_numpy(dtype=str), kind="stable")
    totals = np.asarray(inputs.X[order].sum(axis=1), dtype=np.float64).ravel()
    places = inputs.var_names.get_indexer(queries["gene"])
    return expression(inputs)[:, places].toarray(), np.log1p(totals)


def correlation(
    values: Float[np.ndarray, "cells genes"], others: Float[np.ndarray, "cells dims"]
) -> Float[np.ndarray, "genes dims"]:
    """Return the Pearson correlation of every gene with every other column; 0 if one is constant.

    ``values`` and ``others`` have the same cells in the same order.
    """
    one, two = (v - v.mean(axis=0) for v in (values, others))
    scale = np.outer(np.linalg.norm(one, axis=0), np.linalg.norm(two, axis=0))
    found: Float[np.ndarray, "genes dims"] = np.zeros(scale.shape)
    np.divide(one.T @ two, scale, out=found, where=scale > 1e-9 * len(values))
    return found
