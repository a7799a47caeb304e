"""Papalexi 2021: a knock-out screen of immune checkpoint regulators in THP-1 cells, 299 genes.

``lowmoi_example_data.rda`` of the R package sceptredata holds counts of genes and of guides, the
target of each guide, and the replicate of each cell, but no barcodes: cells are named by their
row. A cell's guide is the one with most counts; ``guide_ok`` says whether that one has at least 5
counts and 80 % of all, so that a second guide is unlikely. All cells are kept. Nobody is assigned
a guide of CD274, whose counts are nearly absent.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from scipy import sparse

from leaderboard.datasets._r import Matrix, Node, counts_csr, read_r
from leaderboard.errors import ReadError
from leaderboard.spec import CONTROL, Source

if TYPE_CHECKING:
    from anndata import AnnData

MINIMUM_COUNTS, MINIMUM_FRACTION = 5, 0.8
NON_TARGETING = "non-targeting"


def read(folder: Path) -> "AnnData":
    """Read the cells of ``lowmoi_example_data.rda``, named ``cell_00001`` ... by row."""
    from anndata import AnnData

    saved = read_r(folder / "lowmoi_example_data.rda").item("lowmoi_example_data")
    genes = saved.item("response_matrix").matrix()
    counts = counts_csr(genes.entries.T, saved.where)
    return AnnData(
        X=counts, obs=_read_obs(saved, counts.shape[0]), var=pd.DataFrame(index=genes.rows)
    )


def call_guides(counts: sparse.csr_matrix, names: "pd.Index[str]") -> pd.DataFrame:
    """Call the guide of each cell from counts of guides (cells x guides).

    Returns
    -------
    A row a cell: ``guide``, the one with most counts (ties: the first by name), and ``guide_ok``.
    Raises ReadError for a cell without any.
    """
    order = np.argsort(names.to_numpy())
    dense = np.asarray(counts[:, order].toarray())
    most, total = dense.max(axis=1), dense.sum(axis=1)
    if not (total > 0).all():
        n_empty = int((total == 0).sum())
        raise ReadError(f"grna_matrix: expected counts in every cell, got {n_empty} without any.")
    is_ok = (most >= MINIMUM_COUNTS) & (most >= MINIMUM_FRACTION * total)
    return pd.DataFrame({"guide": names[order][dense.argmax(axis=1)], "guide_ok": is_ok})


def _read_obs(saved: Node, n_cells: int) -> pd.DataFrame:
    guides = saved.item("grna_matrix").matrix()
    replicate = saved.item("extra_covariates").frame(["bio_rep"])["bio_rep"].astype(str)
    if not n_cells == guides.entries.shape[1] == len(replicate):
        raise ReadError(
            f"{saved.where}: expected {n_cells} cells in all tables, got {guides.entries.shape[1]} "
            f"in the guides and {len(replicate)} in the covariates."
        )
    called = _call(guides, saved.where)
    target = called["guide"].map(_read_targets(saved))
    if target.isna().any():
        lost = called["guide"][target.isna()].iloc[0]
        raise ReadError(f"{saved.where}: expected a target for every guide, got none for {lost}.")
    return pd.DataFrame(
        {
            "perturbation": target.replace({NON_TARGETING: CONTROL}).to_numpy(),
            "guide": called["guide"].to_numpy(),
            "guide_ok": called["guide_ok"].to_numpy(),
            "batch": replicate.to_numpy(),
            "cell_line": "THP-1",
        },
        index=pd.Index([f"cell_{i + 1:05d}" for i in range(n_cells)], name="cell_id"),
    )


def _call(guides: Matrix, where: str) -> pd.DataFrame:
    if guides.rows is None:
        raise ReadError(f"{where}$grna_matrix: expected named guides.")
    return call_guides(counts_csr(guides.entries.T, f"{where}$grna_matrix"), guides.rows)


def _read_targets(saved: Node) -> dict[Any, str]:
    table = saved.item("grna_target_data_frame").frame(["grna_id", "grna_target"])
    return dict(zip(table["grna_id"], table["grna_target"].astype(str), strict=True))


SOURCE = Source(name="papalexi", read=read)
