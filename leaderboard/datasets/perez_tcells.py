"""Perez 2022: T and NK cells of the blood of 7 healthy women, in 3 pools of donors.

``dummysce.rda`` of the R package RUVpbps holds counts of 3,000 genes. Donors were pooled, run on
several lanes of a 10x chip and told apart by their genotypes, so batch (the pool) and donor are
nested, except for donor IGTB195, who is in two pools. A barcode ends in the place that its lane
had when the lanes were put together: ten endings, each in one pool only, and the lanes are named
after them. Cells to which the source gives no subtype (``ct_cov``) have no ``cell_type``.
"""

from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from leaderboard.datasets._r import Node, counts_csr, read_r
from leaderboard.errors import ReadError
from leaderboard.spec import Source

if TYPE_CHECKING:
    from anndata import AnnData

COLUMNS = ("batch_cov", "ind_cov", "ct_cov")
_CELL_ID = r"^[ACGT]{16}-([0-9-]+)$"


def read(folder: Path) -> "AnnData":
    """Read the cells of ``dummysce.rda``, named by barcode and ending."""
    from anndata import AnnData

    experiment = read_r(folder / "dummysce.rda").item("dummysce")
    counts = experiment.assay("counts")
    return AnnData(
        X=counts_csr(counts.entries.T, experiment.where),
        obs=_read_obs(experiment, counts.columns),
        var=pd.DataFrame(index=counts.rows),
    )


def _read_obs(experiment: Node, barcodes: "pd.Index[str] | None") -> pd.DataFrame:
    cells = experiment.slot("colData").frame(COLUMNS)
    if barcodes is None or not cells.index.equals(barcodes):
        raise ReadError(
            f"{experiment.where}: expected the cells of the counts in colData, in order."
        )
    batch = cells["batch_cov"].astype(str)
    return pd.DataFrame(
        {
            "donor_id": _read_donors(cells["ind_cov"].astype(str), experiment.where),
            "batch": batch,
            "cell_type": cells["ct_cov"].astype(object),
            "library": name_lanes(batch),
            "tissue": "blood",
            "disease": "normal",
        },
    ).rename_axis(index="cell_id")


def _read_donors(doubled: "pd.Series[str]", where: str) -> "pd.Series[str]":
    """Read ``IGTB195_IGTB195`` as ``IGTB195``."""
    halves = doubled.str.split("_", expand=True)
    if halves.shape[1] != 2 or not (halves[0] == halves[1]).all():
        raise ReadError(f"{where}: expected donors named twice, A_A, got {doubled.iloc[0]} ...")
    return halves[0]


def name_lanes(batch: "pd.Series[str]") -> "pd.Series[str]":
    """Name the lane of every cell, ``<batch>/lane_1`` ..., by the endings of its batch, sorted.

    ``batch`` is indexed by cell id. An ending that two batches share is no lane: ReadError.
    """
    endings = batch.index.to_series().str.extract(_CELL_ID, expand=False)
    if endings.isna().any():
        first = endings.index[endings.isna()][0]
        raise ReadError(f"dummysce: expected a barcode of 16 bases and an ending, got {first}.")
    pairs = pd.DataFrame({"batch": batch, "ending": endings}).drop_duplicates()
    if pairs["ending"].duplicated().any():
        raise ReadError("dummysce: expected every ending of a barcode in one batch only.")
    pairs = pairs.sort_values(["batch", "ending"])
    lane = pairs.groupby("batch").cumcount() + 1
    names = pairs["batch"] + "/lane_" + lane.astype(str)
    return endings.map(dict(zip(pairs["ending"], names, strict=True)))


SOURCE = Source(name="perez_tcells", read=read)
