"""Kang 2018, control arm: blood cells of 8 lupus patients, unstimulated, with author labels.

``kang_se.rda`` of the R package muscat holds the genes and cells that its authors kept: 1,287
genes, no doublets, 8 cell types. The 8 donors were pooled and run as one 10x library, so a donor is
no batch. Barcodes have 14 bases, which only the first version of the 3' chemistry had.
"""

from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from leaderboard.datasets._dorothea import attach_dorothea
from leaderboard.datasets._r import Node, counts_csr, read_r
from leaderboard.errors import ReadError
from leaderboard.spec import CONTROL, Source

if TYPE_CHECKING:
    from anndata import AnnData


def read(folder: Path) -> "AnnData":
    """Read the cells of ``kang_se.rda``, named by barcode."""
    from anndata import AnnData

    experiment = read_r(folder / "kang_se.rda").item("kang_se")
    counts = experiment.assay("counts")
    genes = experiment.slot("elementMetadata").frame(["feature"])
    adata = AnnData(
        X=counts_csr(counts.entries.T, experiment.where),
        obs=_read_obs(experiment, counts.columns),
        var=pd.DataFrame({"gene_id": counts.rows}, index=genes["feature"].astype(str).to_numpy()),
    )
    attach_dorothea(adata, folder)
    return adata


def _read_obs(experiment: Node, barcodes: "pd.Index[str] | None") -> pd.DataFrame:
    cells = experiment.slot("colData").frame(["sample_id", "cluster_id"])
    if barcodes is None or not cells.index.equals(barcodes):
        raise ReadError(
            f"{experiment.where}: expected the cells of the counts in colData, in order."
        )
    return pd.DataFrame(
        {
            "donor_id": cells["sample_id"].astype(int).astype(str),
            "cell_type": cells["cluster_id"].astype(str),
            "condition": CONTROL,
            "tissue": "blood",
            "disease": "systemic lupus erythematosus",
            "assay": "10x 3' v1",
            "library": "ctrl",
        },
    ).rename_axis(index="cell_id")


SOURCE = Source(name="kang_ctrl", read=read)
