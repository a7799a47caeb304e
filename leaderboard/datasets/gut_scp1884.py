"""Kong 2023 as packaged for tests: 15 profiles of each of 68 types of ileum and colon.

``scp1884.h5ad`` of biomed-multi-omic is NOT what its columns say. Its counts look as if every gene
had been shuffled among the cells of a type: inside a type genes vary independently of each other
(genes of the Y chromosome and XIST meet in one profile as often as chance has it), totals hardly
differ, and the counts have nothing to do with the donor in the cell's id, with ``donor_id`` or with
``batch``, nor these with each other. What is left is a mean and a spread of every gene in every
type. ``donor_id``, ``tissue`` and ``batch`` are the file's; a split by them is a random one.
"""

from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from leaderboard.datasets._h5ad import as_text, read_raw
from leaderboard.datasets._r import counts_csr
from leaderboard.errors import ReadError
from leaderboard.spec import Source

if TYPE_CHECKING:
    from anndata import AnnData

TISSUES = {"TI": "terminal ileum", "CO": "colon"}
_FILE = "scp1884.h5ad"


def read(folder: Path) -> "AnnData":
    """Read the profiles of ``scp1884.h5ad``, named as there."""
    from anndata import AnnData

    stored = read_raw(folder / _FILE, obs=["Celltype", "donor_id", "batch"])
    return AnnData(
        X=counts_csr(stored.X, _FILE),
        obs=_describe(stored.obs),
        var=pd.DataFrame(index=pd.Index(stored.var_names.astype(str))),
    )


def _describe(cells: pd.DataFrame) -> pd.DataFrame:
    """Read ``TI_EPI.scp`` as batch ``TI_EPI`` of the terminal ileum."""
    batch = cells["batch"].astype(str).str.removesuffix(".scp")
    tissue = batch.str.split("_").str[0].map(TISSUES)
    if tissue.isna().any():
        raise ReadError(
            f"{_FILE}: expected batches of TI or CO, got {batch[tissue.isna()].iloc[0]}."
        )
    return pd.DataFrame(
        {
            "donor_id": as_text(cells["donor_id"]),
            "tissue": tissue.to_numpy(),
            "batch": batch.to_numpy(),
            "cell_type": as_text(cells["Celltype"]),
        },
        index=pd.Index(cells.index.astype(str), name="cell_id"),
    )


SOURCE = Source(name="gut_scp1884", read=read)
