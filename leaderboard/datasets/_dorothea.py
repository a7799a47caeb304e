"""DoRothEA: signed human regulons from curated databases, binding, motifs and expression.

Levels A to C are kept, as its authors recommend: each edge is curated or has several kinds of
evidence. The file is part of a dataset's record, so the prior is frozen with the board. What it
does not list is not known to be false: precision against it is a lower bound.
"""

from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from leaderboard.datasets._network import attach_network
from leaderboard.datasets._r import read_r
from leaderboard.errors import ReadError

if TYPE_CHECKING:
    from anndata import AnnData

FILE = "dorothea_hs.rda"
LEVELS = ("A", "B", "C")


def read_dorothea(path: Path) -> pd.DataFrame:
    """Read the edges of levels A to C: ``regulator target sign``."""
    table = read_r(path).item("dorothea_hs").frame()
    lacking = sorted({"tf", "confidence", "target", "mor"} - set(table))
    if lacking:
        raise ReadError(f"{path.name}: expected columns tf confidence target mor, no {lacking}.")
    table = table[table["confidence"].isin(LEVELS)]
    return pd.DataFrame(
        {
            "regulator": table["tf"].astype(str),
            "target": table["target"].astype(str),
            "sign": table["mor"].astype(int),
        }
    ).reset_index(drop=True)


def attach_dorothea(adata: "AnnData", folder: Path) -> None:
    """Attach the measured part of the prior; its candidates are its measured regulators."""
    edges = read_dorothea(folder / FILE)
    attach_network(adata, edges, edges["regulator"].unique())
