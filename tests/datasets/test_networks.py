"""The truths of network boards: simulated ones to the edge, and DoRothEA's levels A to C."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest

from leaderboard.audit import BOARD_CHECKS, BoardFiles
from leaderboard.cases import draw
from leaderboard.config import read_dataset, read_params
from leaderboard.datasets import SOURCES
from leaderboard.datasets._dorothea import FILE, read_dorothea
from leaderboard.datasets._network import attach_network
from leaderboard.datasets.pbmc_facs import _describe
from leaderboard.errors import ReadError

if TYPE_CHECKING:
    from anndata import AnnData

ROOT = Path(__file__).parents[2]
Read = Callable[[str], "AnnData"]
SMALL = {"sim_atlas": {"cells": 300}, "sim_screen": {"cells_per_condition": 2, "control_cells": 20}}


@pytest.fixture
def four_genes() -> "AnnData":
    from anndata import AnnData

    adata = AnnData(np.ones((2, 4), dtype=np.float32))
    adata.var_names = ["A", "B", "C", "D"]
    return adata


def edges(*rows: tuple[str, str, int]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=["regulator", "target", "sign"])


def test_edges_of_unmeasured_genes_and_of_a_gene_to_itself_are_left_out(
    four_genes: "AnnData",
) -> None:
    given = edges(("B", "C", -1), ("A", "D", 1), ("A", "X", 1), ("X", "A", 1), ("A", "A", 1))
    attach_network(four_genes, given, ["B", "A", "X", "D"])
    assert four_genes.uns["network"].to_numpy().tolist() == [["A", "D", 1], ["B", "C", -1]]
    assert list(four_genes.uns["regulators"]) == ["A", "B", "D"]


@pytest.mark.parametrize(
    "wrong",
    [
        edges(("A", "B", 1), ("A", "B", -1)),
        edges(("A", "B", 0)),
        edges(("C", "B", 1)),
    ],
)
def test_a_network_with_an_edge_twice_without_sign_or_of_no_candidate_is_refused(
    four_genes: "AnnData", wrong: pd.DataFrame
) -> None:
    with pytest.raises(ReadError, match="expected distinct edges of candidate regulators"):
        attach_network(four_genes, wrong, ["A", "B"])


@pytest.mark.parametrize("name", sorted(SMALL))
def test_a_simulated_dataset_carries_the_network_that_drove_it(
    in_root: Path, tmp_path: Path, name: str
) -> None:
    assert in_root.is_dir()
    source, record = SOURCES[name], read_dataset("known_truth", name)
    assert source.simulate is not None
    source.simulate(tmp_path, {**record.parameters, **SMALL[name]})
    adata = source.read(tmp_path)
    kept = pd.read_parquet(tmp_path / "network.parquet")
    found = adata.uns["network"]
    assert len(found) == len(kept) > 1000
    joined = found.merge(kept, on=["regulator", "target"])
    assert len(joined) == len(kept)
    assert (np.sign(joined["weight"]) == joined["sign"]).all()
    assert len(adata.uns["regulators"]) == record.parameters["regulators"]
    assert set(found["regulator"]) <= set(adata.uns["regulators"])


@pytest.mark.mirror
def test_dorothea_has_13223_edges_of_levels_a_to_c(
    raw_folder: Callable[[str], Path],
) -> None:
    table = read_dorothea(raw_folder("pbmc_facs") / FILE)
    assert len(table) == 13223
    assert table["sign"].value_counts().to_dict() == {1: 11173, -1: 2050}
    assert not table.duplicated(["regulator", "target"]).any()


@pytest.mark.mirror
@pytest.mark.parametrize(
    ("name", "n_edges", "n_regulators"), [("kang_ctrl", 141, 19), ("pbmc_facs", 9028, 213)]
)
def test_a_real_dataset_carries_the_measured_part_of_the_prior(
    read_real: Read, name: str, n_edges: int, n_regulators: int
) -> None:
    adata = read_real(name)
    network = adata.uns["network"]
    assert len(network) == n_edges
    assert len(adata.uns["regulators"]) == n_regulators
    assert set(network["target"]) <= set(adata.var_names)


@pytest.mark.mirror
def test_both_datasets_are_judged_by_the_same_prior(
    record_of: Callable[[str], dict[str, Any]],
) -> None:
    hashes = {record_of(name)["files"][FILE]["sha256"] for name in ("kang_ctrl", "pbmc_facs")}
    assert len(hashes) == 1


@pytest.mark.mirror
def test_every_sorted_population_is_one_library(read_real: Read) -> None:
    obs = read_real("pbmc_facs").obs
    pairs = obs[["cell_type", "library"]].drop_duplicates()
    assert list(obs["batch"]) == list(obs["library"])
    assert len(pairs) == pairs["cell_type"].nunique() == pairs["library"].nunique() == 10


@pytest.mark.mirror
def test_the_audit_refuses_to_rank_who_names_the_sorted_populations(read_real: Read) -> None:
    obs, params = read_real("pbmc_facs").obs, read_params(ROOT / "params.yaml")
    boards = [b for b in params.boards_of("pbmc_facs") if b.task == "cell_type_annotation"]
    assert {b.split for b in boards} == {"batch", "random"}
    for board in boards:
        roles, _ = draw(obs, board, params.folds)
        files = BoardFiles(board=board, roles=roles, obs=obs, library="library")
        (error,) = [f for f in BOARD_CHECKS["library"](files) if f.severity == "error"]
        assert error.message == "10 libraries, and none holds two labels"


@pytest.mark.mirror
def test_a_symbol_of_several_genes_gives_way_to_their_ids(read_real: Read) -> None:
    adata = read_real("pbmc_facs")
    ids = adata.var_names[adata.var_names == adata.var["gene_id"]]
    assert adata.var_names.is_unique
    assert len(ids) == 18
    assert set(adata.uns["network"]["target"]).isdisjoint(ids)


def test_cells_that_are_not_those_of_the_counts_are_refused() -> None:
    cells = pd.DataFrame({"barcode": ["AAA-1", "CCC-1"], "celltype": ["CD19+ B", "CD34+"]})
    names = pd.Index(["AAA-1-b_cells", "CCC-1-cd34_filtered"])
    assert _describe(cells, names)["library"].tolist() == ["b_cells", "cd34_filtered"]
    with pytest.raises(ReadError, match="expected counts of the cells in \\$samples"):
        _describe(cells, names[::-1])
