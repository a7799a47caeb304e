"""Guides of THP-1 cells: who is called what, and which calls are sure."""

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pytest
from scipy import sparse, stats

from leaderboard.datasets.papalexi import call_guides
from leaderboard.errors import ReadError

if TYPE_CHECKING:
    from anndata import AnnData

Read = Callable[[str], "AnnData"]

NAMES = pd.Index(["b", "a", "c"])
CELLS = [
    [10, 0, 0],  # one guide
    [8, 2, 0],  # 80 % is enough
    [7, 2, 0],  # 78 % is not
    [4, 0, 0],  # too few counts
    [5, 5, 0],  # two guides: the first by name is called, and not sure
    [0, 0, 5],
]


def test_calls_are_as_worked_by_hand() -> None:
    called = call_guides(sparse.csr_matrix(CELLS), NAMES)
    assert called["guide"].tolist() == ["b", "b", "b", "b", "a", "c"]
    assert called["guide_ok"].tolist() == [True, True, False, False, False, True]


def test_calls_do_not_depend_on_the_order_of_cells_and_guides() -> None:
    rng = np.random.default_rng(0)
    counts = rng.poisson(0.8, (200, 9)) + rng.integers(0, 2, (200, 9))
    counts[counts.sum(axis=1) == 0, 0] = 1
    names = pd.Index([f"g{i}" for i in rng.permutation(9)])
    cells, guides = rng.permutation(200), rng.permutation(9)
    called = call_guides(sparse.csr_matrix(counts), names)
    again = call_guides(sparse.csr_matrix(counts[cells][:, guides]), names[guides])
    pd.testing.assert_frame_equal(again, called.iloc[cells].reset_index(drop=True))


def test_a_cell_without_any_guide_is_refused() -> None:
    with pytest.raises(ReadError, match="expected counts in every cell, got 1 without"):
        call_guides(sparse.csr_matrix([[0, 3], [0, 0]]), pd.Index(["a", "b"]))


# ------------------------------------------------------------------ the real file


@pytest.mark.mirror
def test_25_targets_and_control_have_so_many_sure_cells(read_real: Read) -> None:
    obs = read_real("papalexi").obs
    assert obs.loc[obs["guide_ok"], "perturbation"].value_counts().to_dict() == {
        "control": 1923, "IFNGR1": 1064, "IFNGR2": 973, "IRF1": 900, "ATF2": 891, "CD86": 883,
        "JAK2": 871, "CAV1": 757, "MARCH8": 745, "TNFRSF14": 702, "ETV7": 699, "CMTM6": 655,
        "NFKBIA": 559, "STAT2": 557, "STAT5A": 532, "PDCD1LG2": 514, "POU2F2": 464, "SMAD4": 462,
        "IRF7": 413, "STAT3": 383, "UBE2L6": 370, "STAT1": 325, "BRD4": 254, "CUL3": 190,
        "MYC": 73, "SPI1": 33,
    }  # fmt: skip


@pytest.mark.mirror
def test_a_guide_has_one_target_and_its_name(read_real: Read) -> None:
    obs = read_real("papalexi").obs
    pairs = obs[["guide", "perturbation"]].drop_duplicates()
    assert pairs["guide"].is_unique
    assert len(pairs) == 107
    stem = pairs["guide"].str.replace(r"g\d+$", "", regex=True).replace({"NT": "control"})
    assert (stem == pairs["perturbation"]).all()


@pytest.mark.mirror
def test_every_replicate_has_every_target(read_real: Read) -> None:
    obs = read_real("papalexi").obs
    sure = obs[obs["guide_ok"]]
    assert pd.crosstab(sure["perturbation"], sure["batch"]).to_numpy().min() == 6


@pytest.mark.mirror
def test_a_knocked_out_gene_of_the_panel_is_down(read_real: Read) -> None:
    adata = read_real("papalexi")
    sure = adata[adata.obs["guide_ok"]]
    for target in ("STAT1", "IFNGR2", "NFKBIA"):
        counts = np.asarray(sure[:, target].X.todense()).ravel()
        name = sure.obs["perturbation"].to_numpy()
        lost, whole = counts[name == target], counts[name == "control"]
        assert stats.mannwhitneyu(lost, whole, alternative="less").pvalue < 1e-3


@pytest.mark.mirror
def test_sure_calls_are_purer_than_the_others(read_real: Read) -> None:
    """Loss of the receptor lowers STAT1, and by more where no second guide is suspected."""
    adata = read_real("papalexi")
    effect = {}
    stat1 = np.asarray(adata[:, "STAT1"].X.todense()).ravel()
    for is_ok in (True, False):
        own = adata.obs["guide_ok"].to_numpy() == is_ok
        mean = pd.Series(stat1[own]).groupby(adata.obs["perturbation"].to_numpy()[own]).mean()
        effect[is_ok] = mean["IFNGR2"] / mean["control"]
    assert effect[True] < effect[False]
