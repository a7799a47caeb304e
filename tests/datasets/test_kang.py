"""The two Kang datasets, read from the real files and held against their records."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest
import yaml
from scipy import sparse

from leaderboard.datasets import SOURCES
from leaderboard.datasets.kang_ifnb import transfer_labels
from leaderboard.errors import ReadError

if TYPE_CHECKING:
    from anndata import AnnData

DATASETS = Path(__file__).parents[2] / "data" / "datasets.yaml"
NAMES = ("kang_ctrl", "kang_ifnb")

Read = Callable[[str], "AnnData"]


def record_of(name: str) -> dict[str, Any]:
    record: dict[str, Any] = yaml.safe_load(DATASETS.read_text())["public_small"][name]
    return record


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Lay out the raw files of a dataset under their own names, as fetch does."""
    mirror = os.environ.get("HELDOUT_MIRROR")
    if not mirror:
        pytest.skip("HELDOUT_MIRROR is not set: no folder of real files named by SHA-256")

    def lay_out(name: str) -> Path:
        folder = tmp_path_factory.mktemp(name)
        for file, facts in record_of(name)["files"].items():
            (folder / file).symlink_to(Path(mirror, facts["sha256"]).resolve())
        return folder

    return lay_out


@pytest.fixture(scope="module")
def read(raw: Callable[[str], Path]) -> Read:
    """Read each dataset once for all tests."""
    done: dict[str, AnnData] = {}

    def read_once(name: str) -> "AnnData":
        if name not in done:
            done[name] = SOURCES[name].read(raw(name))
        return done[name]

    return read_once


# ------------------------------------------------------------------ the real files


@pytest.mark.mirror
@pytest.mark.parametrize("name", NAMES)
def test_the_record_tells_how_many_cells_genes_and_counts_there_are(read: Read, name: str) -> None:
    adata, expected = read(name), record_of(name)["expected"]
    assert adata.shape == (expected["cells"], expected["genes"])
    assert int(adata.X.sum(dtype=np.float64)) == expected["total_counts"]


@pytest.mark.mirror
@pytest.mark.parametrize("name", NAMES)
def test_the_record_tells_the_size_of_every_category(read: Read, name: str) -> None:
    obs, expected = read(name).obs, record_of(name)["expected"]["categories"]
    assert {column: obs[column].value_counts().to_dict() for column in expected} == expected


@pytest.mark.mirror
@pytest.mark.parametrize("name", NAMES)
def test_the_table_of_cells_has_the_columns_of_the_record_without_a_gap(
    read: Read, name: str
) -> None:
    obs = read(name).obs
    assert set(obs.columns) == set(record_of(name)["obs"])
    assert obs.index.name == "cell_id"
    assert obs.notna().all(axis=None)
    assert all(isinstance(value, str) for value in obs.to_numpy().ravel())


@pytest.mark.mirror
@pytest.mark.parametrize("name", NAMES)
def test_counts_are_whole_positive_and_stored_canonically(read: Read, name: str) -> None:
    counts = read(name).X
    assert isinstance(counts, sparse.csr_matrix)
    assert counts.dtype == np.dtype(np.float32)
    assert counts.has_canonical_format
    assert (counts.data > 0).all()
    np.testing.assert_array_equal(counts.data, np.rint(counts.data))


@pytest.mark.mirror
@pytest.mark.parametrize("name", NAMES)
def test_no_cell_and_no_gene_comes_twice(read: Read, name: str) -> None:
    adata = read(name)
    assert adata.obs_names.is_unique
    assert adata.var_names.is_unique
    distinct = np.unique(adata.X.toarray(), axis=0)
    assert len(distinct) == adata.n_obs


@pytest.mark.mirror
@pytest.mark.parametrize("name", NAMES)
def test_reading_twice_gives_the_same(read: Read, raw: Callable[[str], Path], name: str) -> None:
    first, second = read(name), SOURCES[name].read(raw(name))
    pd.testing.assert_frame_equal(first.obs, second.obs)
    pd.testing.assert_frame_equal(first.var, second.var)
    assert (first.X != second.X).nnz == 0


@pytest.mark.mirror
def test_a_gene_of_the_control_arm_has_its_ensembl_id(read: Read) -> None:
    var = read("kang_ctrl").var
    assert var["gene_id"].str.fullmatch(r"ENSG\d{11}").all()
    assert var.loc["ISG15", "gene_id"] == "ENSG00000187608"


@pytest.mark.mirror
def test_only_stimulated_cells_answer_to_interferon(read: Read) -> None:
    adata = read("kang_ifnb")
    isg15 = pd.Series(adata[:, "ISG15"].X.toarray().ravel(), index=adata.obs_names)
    share = (isg15 > 0).groupby(adata.obs["perturbation"]).mean()
    assert share["IFNB1"] > 0.95
    assert share["control"] < 0.5


@pytest.mark.mirror
def test_the_perturbation_is_the_library(read: Read) -> None:
    pairs = read("kang_ifnb").obs[["library", "condition", "perturbation"]].drop_duplicates()
    assert sorted(pairs.itertuples(index=False, name=None)) == [
        ("ctrl", "control", "control"),
        ("stim", "stimulated", "IFNB1"),
    ]


@pytest.mark.mirror
def test_954_control_cells_are_the_same_cells_in_both_datasets(read: Read) -> None:
    control, both = read("kang_ctrl"), read("kang_ifnb")
    own = both[both.obs["library"] == "ctrl"].copy()
    own.obs_names = own.obs_names.str.removeprefix("ctrl_")
    cells = own.obs_names.intersection(control.obs_names)
    genes = own.var_names.intersection(control.var_names)
    assert (len(cells), len(genes)) == (954, 1283)
    assert (own[cells, genes].X != control[cells, genes].X).nnz == 0
    for column in ("donor_id", "cell_type"):
        assert (own.obs.loc[cells, column] == control.obs.loc[cells, column]).all()
    assert (own.obs.loc[cells, "cell_type_source"] == "author").all()


@pytest.mark.mirror
def test_no_stimulated_cell_is_a_megakaryocyte(read: Read) -> None:
    obs = read("kang_ifnb").obs
    assert "Megakaryocytes" not in set(obs.loc[obs["library"] == "stim", "cell_type"])


@pytest.mark.mirror
def test_transferred_labels_do_not_depend_on_the_order_of_cells(read: Read) -> None:
    adata = read("kang_ifnb")
    known = adata.obs["cell_type"].where(adata.obs["cell_type_source"] == "author")
    order = np.random.default_rng(0).permutation(adata.n_obs)
    again = transfer_labels(adata.X[order], adata.obs["library"].iloc[order], known.iloc[order])
    pd.testing.assert_series_equal(again.reindex(adata.obs_names), adata.obs["cell_type"])


# ------------------------------------------------------------------ without the real files


def toy_cells() -> tuple[sparse.csr_matrix, "pd.Series[str]", "pd.Series[str]"]:
    """Two types apart in their own genes, a response that all stimulated cells share."""
    rng = np.random.default_rng(0)
    kind, library = np.repeat(["A", "B"], 40), np.tile(["ctrl", "stim"], 40)
    rates = np.full((80, 60), 2.0)
    rates[kind == "A", :15] = 12.0
    rates[kind == "B", 15:30] = 12.0
    rates[library == "stim", 30:45] = 60.0
    ids = [f"cell{i:02d}" for i in range(80)]
    counts = sparse.csr_matrix(rng.poisson(rates).astype(np.float32))
    return counts, pd.Series(library, index=ids), pd.Series(kind, index=ids)


def test_a_label_crosses_from_one_library_to_the_other() -> None:
    counts, library, kind = toy_cells()
    filled = transfer_labels(counts, library, kind.where(library == "ctrl"))
    pd.testing.assert_series_equal(filled, kind)


def test_a_known_label_is_never_overruled() -> None:
    counts, library, kind = toy_cells()
    given = kind.where(library == "ctrl")
    given.iloc[0] = "B"
    assert transfer_labels(counts, library, given).iloc[0] == "B"


@pytest.mark.parametrize("name", NAMES)
def test_an_empty_folder_is_refused_by_name_of_the_file(tmp_path: Path, name: str) -> None:
    with pytest.raises(ReadError, match=r"\.(rda|RData): expected an R file .* got none"):
        SOURCES[name].read(tmp_path)
