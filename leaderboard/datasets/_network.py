"""The network that a dataset is judged by: kept beside its counts, never shown to a model."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from leaderboard.errors import ReadError

if TYPE_CHECKING:
    from anndata import AnnData

COLUMNS = ["regulator", "target", "sign"]


def attach_network(adata: "AnnData", edges: pd.DataFrame, regulators: Iterable[str]) -> None:
    """Put the edges between measured genes in ``uns["network"]``, sorted, and who may regulate.

    Parameters
    ----------
    edges
        ``regulator target sign``, the sign 1 or -1; a gene's edge to itself is dropped.
    regulators
        Candidates, with or without an edge; ``uns["regulators"]`` holds those that are measured.

    Raises
    ------
    ReadError
        If an edge is there twice, has no sign, or starts at a gene that is no candidate.
    """
    names = np.unique(np.intersect1d(list(regulators), adata.var_names.astype(str)))
    edges = edges[COLUMNS].astype({"regulator": str, "target": str, "sign": np.int8})
    edges = edges[edges["target"].isin(adata.var_names) & edges["regulator"].isin(adata.var_names)]
    edges = edges[edges["regulator"] != edges["target"]].sort_values(COLUMNS, ignore_index=True)
    bad = edges[
        edges.duplicated(["regulator", "target"])
        | ~edges["sign"].isin([-1, 1])
        | ~edges["regulator"].isin(names)
    ]
    if len(bad):
        raise ReadError(
            f"network: expected distinct edges of candidate regulators with sign 1 or -1, got "
            f"{len(bad)} other(s), first {bad.iloc[0].to_dict()}."
        )
    adata.uns["network"] = edges
    adata.uns["regulators"] = names.astype(str)
