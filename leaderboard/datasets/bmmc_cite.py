"""NeurIPS 2021, CITE-seq: bone marrow cells of two donors, 1,000 genes and 134 proteins.

The starter files of the Open Problems competition hold 600 cells of the first site. Each donor was
one sample, so batch and donor are one thing. Proteins are counts of antibodies, in
``obsm["protein"]`` with their names in ``uns["protein_names"]``, as sim_atlas has them. The file's
own ``is_train`` marks the cells of donor d1; it is left out, as our splits are our own.
"""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from leaderboard.datasets._h5ad import as_text, read_raw
from leaderboard.datasets._r import counts_csr
from leaderboard.errors import ReadError
from leaderboard.spec import Source

if TYPE_CHECKING:
    from anndata import AnnData

RNA_FILE = "openproblems_bmmc_cite_starter.output_rna.h5ad"
PROTEIN_FILE = "openproblems_bmmc_cite_starter.output_mod2.h5ad"


def read(folder: Path) -> "AnnData":
    """Read genes and proteins of the same cells, named by barcode."""
    from anndata import AnnData

    rna = read_raw(folder / RNA_FILE, obs=["batch", "cell_type"], layers=["counts"])
    protein = read_raw(folder / PROTEIN_FILE, obs=["batch", "cell_type"], layers=["counts"])
    if "gene_ids" not in rna.var:
        raise ReadError(f"{RNA_FILE}: expected var gene_ids, got {', '.join(rna.var)}.")
    if not set(rna.obs_names) == set(protein.obs_names):
        raise ReadError(f"{PROTEIN_FILE}: expected the cells of {RNA_FILE}, got others.")
    protein = protein[rna.obs_names]
    adata = AnnData(
        X=counts_csr(rna.layers["counts"], RNA_FILE),
        obs=_describe(rna.obs),
        var=pd.DataFrame(
            {"gene_id": as_text(rna.var["gene_ids"])}, index=pd.Index(rna.var_names.astype(str))
        ),
    )
    counts = counts_csr(protein.layers["counts"], PROTEIN_FILE)
    adata.obsm["protein"] = np.asarray(counts.toarray(), dtype=np.float32)
    adata.uns["protein_names"] = protein.var_names.to_numpy(str)
    return adata


def _describe(cells: pd.DataFrame) -> pd.DataFrame:
    """Take the donor from the batch: ``s1d2`` is donor d2 at site s1."""
    batch = cells["batch"].astype(str)
    donor = batch.str.extract(r"^s\d+(d\d+)$", expand=False)
    if donor.isna().any():
        raise ReadError(
            f"{RNA_FILE}: expected batches like s1d2, got {batch[donor.isna()].iloc[0]}."
        )
    return pd.DataFrame(
        {
            "donor_id": donor.to_numpy(),
            "batch": batch.to_numpy(),
            "cell_type": as_text(cells["cell_type"]),
            "tissue": "bone marrow",
            "disease": "normal",
        },
        index=pd.Index(cells.index.astype(str), name="cell_id"),
    )


SOURCE = Source(name="bmmc_cite", read=read)
