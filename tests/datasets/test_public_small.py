"""What every real dataset owes its record; what a reader says of a wrong file."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anndata
import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from leaderboard.contracts import raise_if_broken, read_contracts
from leaderboard.counts import check_dataset
from leaderboard.datasets import SOURCES
from leaderboard.datasets._h5ad import read_raw
from leaderboard.errors import ContractError, ReadError

if TYPE_CHECKING:
    from anndata import AnnData

Read = Callable[[str], "AnnData"]
Record = Callable[[str], dict[str, Any]]
NAMES = ("perez_tcells", "norman_mcfaline", "papalexi", "bmmc_cite", "gut_scp1884", "ipsc_cm")
CONTRACTS = Path(__file__).parents[2] / "data" / "contracts"

every_dataset = pytest.mark.parametrize("name", NAMES)


@pytest.mark.mirror
@every_dataset
def test_the_record_tells_how_many_cells_genes_and_counts_there_are(
    read_real: Read, record_of: Record, name: str
) -> None:
    adata, expected = read_real(name), record_of(name)["expected"]
    assert adata.shape == (expected["cells"], expected["genes"])
    assert int(adata.X.sum(dtype=np.float64)) == expected["total_counts"]


@pytest.mark.mirror
@every_dataset
def test_the_record_tells_the_size_of_every_category(
    read_real: Read, record_of: Record, name: str
) -> None:
    obs, expected = read_real(name).obs, record_of(name)["expected"]["categories"]
    told = {column: obs[column].dropna().astype(str).value_counts() for column in expected}
    assert {column: counts.to_dict() for column, counts in told.items()} == expected


@pytest.mark.mirror
@every_dataset
def test_columns_are_those_of_the_record_and_only_nullable_ones_have_gaps(
    read_real: Read, record_of: Record, name: str
) -> None:
    obs, record = read_real(name).obs, record_of(name)
    assert list(obs.columns) == record["obs"]
    assert obs.index.name == "cell_id"
    assert [c for c in obs if obs[c].isna().any()] == record.get("nullable", [])
    is_declared = record["library"] in {*obs.columns, "single", "unknown"}
    assert is_declared


@pytest.mark.mirror
@every_dataset
def test_counts_are_whole_positive_and_stored_canonically(read_real: Read, name: str) -> None:
    counts = read_real(name).X
    assert isinstance(counts, sparse.csr_matrix)
    assert counts.dtype == np.dtype(np.float32)
    assert counts.has_canonical_format
    assert (counts.data > 0).all()
    np.testing.assert_array_equal(counts.data, np.rint(counts.data))


@pytest.mark.mirror
@every_dataset
def test_no_cell_and_no_gene_comes_twice(read_real: Read, name: str) -> None:
    adata = read_real(name)
    assert adata.obs_names.is_unique
    assert adata.var_names.is_unique
    rows = {
        adata.X.indices[a:b].tobytes() + adata.X.data[a:b].tobytes()
        for a, b in zip(adata.X.indptr[:-1], adata.X.indptr[1:], strict=True)
    }
    assert len(rows) == adata.n_obs


@pytest.mark.mirror
@every_dataset
def test_reading_twice_gives_the_same(
    read_real: Read, raw_folder: Callable[[str], Path], name: str
) -> None:
    first, second = read_real(name), SOURCES[name].read(raw_folder(name))
    pd.testing.assert_frame_equal(first.obs, second.obs)
    pd.testing.assert_frame_equal(first.var, second.var)
    assert (first.X != second.X).nnz == 0


@pytest.mark.mirror
@every_dataset
def test_every_contract_is_kept_and_one_that_is_broken_is_told(
    read_real: Read, record_of: Record, name: str
) -> None:
    contracts, record = read_contracts(CONTRACTS), record_of(name)
    adata = read_real(name)
    raise_if_broken(check_dataset(adata, dataset=name, record=record, contracts=contracts))
    column = next(iter(record["expected"]["categories"]))
    wrong = adata[1:]
    with pytest.raises(ContractError, match=f"{column} has as many cells"):
        raise_if_broken(check_dataset(wrong, dataset=name, record=record, contracts=contracts))


# ------------------------------------------------------------------ without the real files


@every_dataset
def test_an_empty_folder_is_refused_by_name_of_the_file(tmp_path: Path, name: str) -> None:
    with pytest.raises(ReadError, match=r"\.(rda|h5ad): expected an (R|h5ad) file .* got none"):
        SOURCES[name].read(tmp_path)


@every_dataset
def test_a_file_that_is_no_such_file_is_refused(
    tmp_path: Path, record_of: Record, name: str
) -> None:
    for file in record_of(name)["files"]:
        (tmp_path / file).write_bytes(b"not what it says")
    with pytest.raises(ReadError, match=r"\.(rda|h5ad): expected"):
        SOURCES[name].read(tmp_path)


def test_a_file_without_the_columns_of_the_dataset_is_refused_by_their_names(
    tmp_path: Path,
) -> None:
    path = tmp_path / "some.h5ad"
    toy = anndata.AnnData(np.ones((2, 1), dtype=np.float32), obs=pd.DataFrame(index=["a", "b"]))
    toy.obs["batch"] = "TI_EPI.scp"
    toy.write_h5ad(path)
    with pytest.raises(ReadError, match=r"some\.h5ad: expected obs donor_id, got batch"):
        read_raw(path, obs=["batch", "donor_id"])
    with pytest.raises(ReadError, match=r"some\.h5ad: expected layers counts"):
        read_raw(path, obs=["batch"], layers=["counts"])
    assert read_raw(path, obs=["batch"]).shape == (2, 1)
