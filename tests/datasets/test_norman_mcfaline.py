"""Counts out of stored log values: exact where they are counts, refused where they are not."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anndata
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse

from leaderboard.datasets.norman_mcfaline import TARGET_SUM, recover_counts, sort_parts
from leaderboard.errors import ReadError

if TYPE_CHECKING:
    from anndata import AnnData

Read = Callable[[str], "AnnData"]
Array = np.ndarray[Any, np.dtype[np.float64]]


def store(counts: Array, kept: Array) -> sparse.csr_matrix:
    """Normalise and take logs as PerturBench did."""
    return sparse.csr_matrix(np.log1p(counts / kept[:, None] * TARGET_SUM))


def toy_counts() -> tuple[Array, Array]:
    """20 cells x 30 genes, each with a count of 1, and totals of the genes that were kept."""
    rng = np.random.default_rng(0)
    counts = rng.poisson(1.0, (20, 30)).astype(float)
    counts[:, 0] = 1.0
    return counts, counts.sum(axis=1) + rng.integers(500, 40_000, 20)


@given(
    st.lists(st.integers(0, 400), min_size=2, max_size=40),
    st.integers(0, 60_000),
    st.integers(0, 60_000),
)
def test_counts_with_a_one_among_them_come_back_whatever_the_totals(
    counts: list[int], kept: int, lost: int
) -> None:
    cell = np.array([[1.0, *counts]])
    kept_total = cell.sum(axis=1) + kept
    recovered = recover_counts(store(cell, kept_total), kept_total + lost)
    np.testing.assert_array_equal(recovered.toarray(), cell)


def test_counts_without_a_one_come_back_if_they_have_no_common_factor() -> None:
    cell = np.array([[2.0, 3.0, 0.0, 4.0], [6.0, 10.0, 15.0, 0.0]])
    kept = np.array([700.0, 9000.0])
    np.testing.assert_array_equal(recover_counts(store(cell, kept), kept).toarray(), cell)


def test_a_cell_without_counts_stays_empty() -> None:
    counts = recover_counts(sparse.csr_matrix((1, 3)), np.array([500.0]))
    assert counts.nnz == 0


def test_recovery_does_not_depend_on_the_order_of_cells_and_genes() -> None:
    counts, kept = toy_counts()
    cells, genes = np.arange(20)[::-1], np.arange(30)[::-1]
    shuffled = recover_counts(store(counts, kept)[cells][:, genes], kept[cells])
    np.testing.assert_array_equal(shuffled.toarray(), counts[cells][:, genes])


def test_values_that_are_no_multiples_of_a_unit_are_refused() -> None:
    counts, kept = toy_counts()
    stored = store(counts, kept)
    stored.data[5] += 1e-3
    with pytest.raises(ReadError, match="cell 0: expected whole multiples of one unit"):
        recover_counts(stored, kept)


def test_values_of_single_precision_are_refused() -> None:
    counts, kept = toy_counts()
    counts[:, 1] = 300.0
    stored = store(counts, kept).astype(np.float32).astype(np.float64)
    with pytest.raises(ReadError, match="expected whole multiples of one unit"):
        recover_counts(stored, kept)


def test_another_target_sum_is_refused() -> None:
    counts, kept = toy_counts()
    tenfold = sparse.csr_matrix(np.log1p(counts / kept[:, None] * TARGET_SUM / 10))
    with pytest.raises(ReadError, match="expected panel total <= total of the kept genes"):
        recover_counts(tenfold, kept)


def test_negative_values_are_refused() -> None:
    with pytest.raises(ReadError, match="cell 0: expected values above 0, got -0"):
        recover_counts(sparse.csr_matrix([[-0.5, 1.0]]), np.array([500.0]))


def test_both_orders_of_a_pair_are_one_condition() -> None:
    assert sort_parts("SET+KLF1") == sort_parts("KLF1+SET") == "KLF1+SET"
    assert sort_parts("control") == "control"


# ------------------------------------------------------------------ the real file


@pytest.fixture(scope="module")
def units(read_real: Read, raw_folder: Callable[[str], Path]) -> pd.DataFrame:
    """Tell each cell's smallest value, smallest count, total of the kept genes and of all."""
    stored = anndata.read_h5ad(raw_folder("norman_mcfaline") / "devel.h5ad")
    normalised = sparse.csr_matrix(stored.X).expm1()
    counts = read_real("norman_mcfaline").X
    panel = np.asarray(counts.sum(axis=1)).ravel()
    return pd.DataFrame(
        {
            "line": stored.obs["cell_type"].astype(str),
            "smallest": [row.data.min() for row in normalised],
            "count": [row.data.min() for row in counts],
            "kept": TARGET_SUM * panel / np.asarray(normalised.sum(axis=1)).ravel(),
            "total": stored.obs["ncounts"],
        }
    )


@pytest.mark.mirror
def test_no_cell_of_k562_can_be_off_by_a_factor(units: pd.DataFrame) -> None:
    """PerturBench kept nearly all of its counts, so a wrong unit would show as a factor of 2."""
    share = (units["kept"] / units["total"])[units["line"] == "k562"]
    assert share.between(0.98, 1.0).all()


@pytest.mark.mirror
def test_a_unit_guessed_from_the_full_total_is_wrong_in_181_cells(units: pd.DataFrame) -> None:
    """And most of those guesses are impossible: more counts kept than there were."""
    guess = (units["smallest"] * units["total"] / TARGET_SUM).round().clip(lower=1)
    is_wrong = guess != units["count"]
    assert is_wrong.sum() == 181
    assert set(units.loc[is_wrong, "line"]) == {"A172", "T98G", "U87MG"}
    implied = (units["kept"] * guess / units["count"])[is_wrong]
    assert (implied > units["total"][is_wrong]).sum() == 177


@pytest.mark.mirror
def test_the_panel_is_a_small_part_of_the_library_of_k562(read_real: Read) -> None:
    adata = read_real("norman_mcfaline")
    panel = np.asarray(adata.X.sum(axis=1)).ravel()
    share = pd.Series(panel / adata.obs["total_counts_all_genes"]).groupby(adata.obs["cell_line"])
    assert share.max().max() < 0.2
    assert share.median()["K562"] == pytest.approx(0.00896, abs=5e-5)


@pytest.mark.mirror
def test_k562_has_18_singles_and_15_pairs_of_which_5_have_both_singles(read_real: Read) -> None:
    obs = read_real("norman_mcfaline").obs
    found = set(obs.loc[obs["cell_line"] == "K562", "perturbation"]) - {"control"}
    pairs = {name for name in found if "+" in name}
    assert (len(found - pairs), len(pairs)) == (18, 15)
    assert {pair for pair in pairs if set(pair.split("+")) <= found} == {
        "KLF1+MAP2K6", "KLF1+TGFBR2", "MAP2K3+MAP2K6", "MAP2K3+SLC38A2", "MAPK1+TGFBR2",
    }  # fmt: skip


@pytest.mark.mirror
def test_every_line_has_100_controls_and_the_others_the_same_9_singles(read_real: Read) -> None:
    obs = read_real("norman_mcfaline").obs
    cells = pd.crosstab(obs["perturbation"], obs["cell_line"])
    assert (cells.loc["control"] == 100).all()
    others = cells[["A172", "T98G", "U87MG"]].drop(index="control")
    singles = ["MAP2K3", "MAP2K6", "MAP3K21", "MAP4K3", "MAP4K5", "MAPK1", "PLK4", "SGK1", "TGFBR2"]
    for line in others:
        assert sorted(others.index[others[line] > 0]) == singles


@pytest.mark.mirror
def test_study_line_and_library_go_together_as_the_record_says(read_real: Read) -> None:
    obs = read_real("norman_mcfaline").obs
    is_norman = obs["batch"] == "norman19"
    assert (is_norman == (obs["cell_line"] == "K562")).all()
    assert set(obs.loc[is_norman, "library"]) == {f"norman19/lane_{i}" for i in range(1, 9)}
    assert set(obs.loc[~is_norman, "library"]) == {"mcfaline23"}


@pytest.mark.mirror
def test_only_one_target_is_measured(read_real: Read) -> None:
    adata = read_real("norman_mcfaline")
    targets = {part for name in adata.obs["perturbation"] for part in name.split("+")}
    assert len(targets) == 1 + 31
    assert targets & set(adata.var_names) == {"TMSB4X"}


@pytest.mark.mirror
def test_an_activated_gene_is_up(read_real: Read) -> None:
    adata = read_real("norman_mcfaline")
    k562 = adata[adata.obs["cell_line"] == "K562"]
    tmsb4x = np.asarray(k562[:, "TMSB4X"].X.todense()).ravel()
    share = pd.Series(tmsb4x / k562.obs["total_counts_all_genes"]).groupby(k562.obs["perturbation"])
    assert share.mean().idxmax() == "TMSB4X"
