"""Stem cells on their way to heart muscle: 315 cells at days 0, 6, 10, 30 and 60, read counts.

``iPSC.rda`` of the R package scDatasets names the days and nothing else: no publication, donor,
library or cell type. ``cell_type`` is the day's group, for want of any other label; so label and
time are one, and no split by time can ask for a label that training has seen. Counts are of reads,
not of molecules. The file has no barcodes: cells are named by their row.
"""

from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from leaderboard.datasets._gene_property import attach_dosage_sensitivity
from leaderboard.datasets._r import counts_csr, read_r
from leaderboard.errors import ReadError
from leaderboard.spec import Source

if TYPE_CHECKING:
    from anndata import AnnData


def read(folder: Path) -> "AnnData":
    """Read the cells of ``iPSC.rda``, named ``cell_001`` ... by row, with a property of genes."""
    from anndata import AnnData

    experiment = read_r(folder / "iPSC.rda").item("iPSC")
    counts = experiment.assay("count")
    group = experiment.slot("colData").frame(["group"])["group"].astype(str)
    adata = AnnData(
        X=counts_csr(counts.entries.T, experiment.where),
        obs=_describe(group, counts.entries.shape[1], experiment.where),
        var=pd.DataFrame(index=counts.rows),
    )
    attach_dosage_sensitivity(adata, folder)
    return adata


def _describe(group: "pd.Series[str]", n_cells: int, where: str) -> pd.DataFrame:
    """Read group ``D6`` as time ``day_6``."""
    day = group.str.extract(r"^D(\d+)$", expand=False)
    if len(group) != n_cells or day.isna().any():
        raise ReadError(f"{where}: expected a group like D6 for each of {n_cells} cells.")
    return pd.DataFrame(
        {"time": ("day_" + day).to_numpy(), "cell_type": group.to_numpy()},
        index=pd.Index([f"cell_{i + 1:03d}" for i in range(n_cells)], name="cell_id"),
    )


SOURCE = Source(name="ipsc_cm", read=read)
