"""Labels of dosage sensitivity: their numbers, their symbols, what is refused."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd
import pytest
import scipy.sparse as sp

from leaderboard.datasets._gene_property import (
    LABELS,
    SYMBOLS,
    attach_property,
    read_dosage_sensitivity,
)
from leaderboard.errors import ReadError

if TYPE_CHECKING:
    from anndata import AnnData


def three_genes() -> "AnnData":
    from anndata import AnnData

    return AnnData(sp.csr_matrix((2, 3)), var=pd.DataFrame(index=["C", "A", "B"]))


def write(folder: Path, labels: str, symbols: str) -> Path:
    (folder / LABELS).write_text(labels)
    (folder / SYMBOLS).write_text(symbols)
    return folder


def test_labels_are_kept_of_measured_genes_sorted() -> None:
    adata = three_genes()
    attach_property(
        adata, pd.DataFrame({"gene": ["C", "X", "A"], "has_property": [True, True, False]})
    )
    assert adata.uns["gene_property"].to_numpy().tolist() == [["A", False], ["C", True]]


def test_a_gene_with_two_labels_is_refused() -> None:
    with pytest.raises(ReadError, match="one row a gene"):
        attach_property(
            three_genes(), pd.DataFrame({"gene": ["A", "A"], "has_property": [True, False]})
        )


def test_ids_become_symbols_and_stay_where_there_is_none(tmp_path: Path) -> None:
    ids = ["ENSG00000000001", "ENSG00000000002", "ENSG00000000003"]
    labels = f"dosage_sensitive,dosage_insensitive\n{ids[0]},{ids[1]}\n,{ids[2]}\n"
    found = read_dosage_sensitivity(write(tmp_path, labels, f"{ids[0]},SOX9\n{ids[1]},ZNF7\n"))
    assert dict(zip(found["gene"], found["has_property"], strict=True)) == {
        "SOX9": True, "ZNF7": False, ids[2]: False,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("labels", "symbols", "said"),
    [
        ("a,b\n1,2\n", "ENSG00000000001,SOX9\n", "expected the columns"),
        ("dosage_sensitive,dosage_insensitive\n", "SOX9,ENSG00000000001\n", "Ensembl gene id"),
    ],
)
def test_files_of_another_form_are_refused(
    tmp_path: Path, labels: str, symbols: str, said: str
) -> None:
    with pytest.raises(ReadError, match=said):
        read_dosage_sensitivity(write(tmp_path, labels, symbols))


@pytest.mark.mirror
def test_there_are_122_sensitive_and_368_insensitive_factors(
    raw_folder: Callable[[str], Path],
) -> None:
    table = read_dosage_sensitivity(raw_folder("pbmc_facs"))
    assert table["has_property"].value_counts().to_dict() == {False: 368, True: 122}
    assert not table["gene"].duplicated().any()


@pytest.mark.mirror
@pytest.mark.parametrize(
    ("name", "n_genes", "n_sensitive"), [("pbmc_facs", 384, 85), ("ipsc_cm", 391, 102)]
)
def test_a_real_dataset_carries_the_labels_of_its_measured_genes(
    read_real: "Callable[[str], AnnData]", name: str, n_genes: int, n_sensitive: int
) -> None:
    table = read_real(name).uns["gene_property"]
    assert (len(table), int(table["has_property"].sum())) == (n_genes, n_sensitive)
