"""Genes and proteins of the same bone marrow cells."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from scipy import sparse, stats

from leaderboard.datasets.bmmc_cite import PROTEIN_FILE, RNA_FILE, read
from leaderboard.errors import ReadError
from leaderboard.io import read_h5ad, write_h5ad
from leaderboard.tasks._modality import centred_log_ratio

if TYPE_CHECKING:
    Read = Callable[[str], AnnData]


def write_toy(path: Path, cells: list[str], names: list[str], batch: str = "s1d1") -> None:
    """Counts of a cell are its letter's place in the alphabet times the column's, from 1."""
    counts = np.array([[(ord(c) - 96) * (j + 1) for j in range(len(names))] for c in cells])
    toy = AnnData(
        X=np.log1p(counts.astype(np.float32)),
        obs=pd.DataFrame({"batch": batch, "cell_type": "T"}, index=cells),
        var=pd.DataFrame({"gene_ids": names}, index=names),
        layers={"counts": sparse.csc_matrix(counts.astype(np.float64))},
    )
    toy.write_h5ad(path)


def test_proteins_are_put_in_the_order_of_the_genes_cells(tmp_path: Path) -> None:
    write_toy(tmp_path / RNA_FILE, ["a", "b", "c"], ["G1", "G2"])
    write_toy(tmp_path / PROTEIN_FILE, ["c", "a", "b"], ["P1", "P2", "P3"], batch="s1d2")
    adata = read(tmp_path)
    assert adata.obs_names.tolist() == ["a", "b", "c"]
    np.testing.assert_array_equal(adata.X.toarray(), [[1, 2], [2, 4], [3, 6]])
    np.testing.assert_array_equal(adata.obsm["protein"], [[1, 2, 3], [2, 4, 6], [3, 6, 9]])
    assert adata.uns["protein_names"].tolist() == ["P1", "P2", "P3"]


def test_proteins_of_other_cells_are_refused(tmp_path: Path) -> None:
    write_toy(tmp_path / RNA_FILE, ["a", "b"], ["G1"])
    write_toy(tmp_path / PROTEIN_FILE, ["a", "c"], ["P1"])
    with pytest.raises(ReadError, match=r"expected the cells of .*rna\.h5ad, got others"):
        read(tmp_path)


def test_a_batch_that_names_no_donor_is_refused(tmp_path: Path) -> None:
    write_toy(tmp_path / RNA_FILE, ["a"], ["G1"], batch="pool7")
    write_toy(tmp_path / PROTEIN_FILE, ["a"], ["P1"])
    with pytest.raises(ReadError, match="expected batches like s1d2, got pool7"):
        read(tmp_path)


# ------------------------------------------------------------------ the real files


@pytest.mark.mirror
def test_proteins_survive_the_way_through_a_file(read_real: "Read", tmp_path: Path) -> None:
    adata = read_real("bmmc_cite")
    write_h5ad(tmp_path / "clean.h5ad", adata.copy())
    again = read_h5ad(tmp_path / "clean.h5ad")
    np.testing.assert_array_equal(again.obsm["protein"], adata.obsm["protein"])
    assert again.obsm["protein"].shape == (600, 134)
    assert list(again.uns["protein_names"]) == list(adata.uns["protein_names"])
    assert again.obsm["protein"].sum(dtype=np.float64) == 4159730


@pytest.mark.mirror
@pytest.mark.parametrize(("protein", "gene"), [("CD36", "CD36"), ("HLA-DR", "HLA-DRA")])
def test_a_protein_follows_its_gene(read_real: "Read", protein: str, gene: str) -> None:
    """So the two files are of the same cells, in the same order."""
    adata = read_real("bmmc_cite")
    column = list(adata.uns["protein_names"]).index(protein)
    counts = np.asarray(adata[:, gene].X.todense()).ravel()
    assert stats.spearmanr(adata.obsm["protein"][:, column], counts).statistic > 0.5


@pytest.mark.mirror
def test_the_authors_own_values_are_log_ratios_to_one_number_a_cell(
    raw_folder: "Callable[[str], Path]",
) -> None:
    """So boards take log1p(count / g); their g is over a panel with controls that is not here."""
    protein = read_h5ad(raw_folder("bmmc_cite") / PROTEIN_FILE)
    counts, theirs = protein.layers["counts"].toarray(), protein.X.toarray()
    ratio = np.full(counts.shape, np.nan)
    np.divide(counts, np.expm1(theirs), out=ratio, where=counts > 0)
    assert np.nanstd(np.log(ratio), axis=1).max() < 1e-6
    assert np.abs(centred_log_ratio(counts) - theirs).max() < 0.1


@pytest.mark.mirror
def test_donor_and_batch_are_one_thing(read_real: "Read") -> None:
    obs = read_real("bmmc_cite").obs
    assert (obs["batch"] == "s1" + obs["donor_id"]).all()
    assert (obs["batch"] == obs.index.str.rsplit("-", n=1).str[1]).all()


@pytest.mark.mirror
def test_15_types_are_in_one_donor_only_and_4_in_one_cell(read_real: "Read") -> None:
    obs = read_real("bmmc_cite").obs
    assert (obs.groupby("cell_type")["donor_id"].nunique() < 2).sum() == 15
    assert (obs["cell_type"].value_counts() == 1).sum() == 4


@pytest.mark.mirror
def test_a_gene_has_its_ensembl_id(read_real: "Read") -> None:
    var = read_real("bmmc_cite").var
    assert var["gene_id"].str.fullmatch(r"ENSG\d{11}").all()
    assert var["gene_id"].is_unique
