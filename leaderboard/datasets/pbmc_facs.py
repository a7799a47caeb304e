"""Zheng 2017: blood cells of 10 populations that were sorted by surface markers, then sequenced.

``pbmc_facs.RData`` of the R package fastTopics holds a subsample of the cells in two tables, those
that its authors fitted on and 100 that they held out; both are read. Each population was sorted
and sequenced apart, so label, library and batch are one. No donor is named. Barcodes come with the
name of their population. Symbols that several genes share are replaced by the genes' Ensembl ids.
"""

from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd
from scipy import sparse

from leaderboard.datasets._dorothea import attach_dorothea
from leaderboard.datasets._gene_property import attach_dosage_sensitivity
from leaderboard.datasets._r import counts_csr, read_r
from leaderboard.errors import ReadError
from leaderboard.spec import Source

if TYPE_CHECKING:
    from anndata import AnnData

FILE = "pbmc_facs.RData"
PARTS = (("counts", "samples"), ("counts_test", "samples_test"))


def read(folder: Path) -> "AnnData":
    """Read both tables of cells, named by barcode and population, with what genes are asked."""
    from anndata import AnnData

    data = read_r(folder / FILE).item("pbmc_facs")
    counts = [data.item(name).matrix() for name, _ in PARTS]
    genes = data.item("genes").frame(["ensembl", "symbol"]).astype(str)
    for part in counts:
        if part.columns is None or list(part.columns) != list(genes["ensembl"]):
            raise ReadError(f"{FILE}: expected counts of the genes in $genes, in their order.")
    is_shared = genes["symbol"].duplicated(keep=False)
    names = genes["symbol"].mask(is_shared, genes["ensembl"])
    adata = AnnData(
        X=counts_csr(
            sparse.vstack([sparse.csc_matrix(part.entries) for part in counts]), data.where
        ),
        obs=pd.concat(
            [
                _describe(data.item(name).frame(["barcode", "celltype"]), part.rows)
                for (_, name), part in zip(PARTS, counts, strict=True)
            ]
        ),
        var=pd.DataFrame({"gene_id": genes["ensembl"].to_numpy()}, index=names.to_numpy()),
    )
    attach_dorothea(adata, folder)
    attach_dosage_sensitivity(adata, folder)
    return adata


def _describe(cells: pd.DataFrame, names: "pd.Index[str] | None") -> pd.DataFrame:
    """Take the population from a cell's name, ``<barcode>-<lane>-<population>``."""
    barcode = cells["barcode"].astype(str).to_numpy()
    if names is None or [name.rpartition("-")[0] for name in names] != list(barcode):
        raise ReadError(f"{FILE}: expected counts of the cells in $samples, in their order.")
    population = [name.rpartition("-")[2] for name in names]
    return pd.DataFrame(
        {
            "cell_type": cells["celltype"].astype(str).to_numpy(),
            "library": population,
            "batch": population,
            "tissue": "blood",
            "disease": "normal",
            "assay": "10x 3' v1",
        },
        index=pd.Index(names, name="cell_id"),
    )


SOURCE = Source(name="pbmc_facs", read=read)
