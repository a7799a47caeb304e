"""Cells that two datasets share are found on the genes that both measure, and said on both."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

from leaderboard import layout
from leaderboard.audit import CellCounts, find_shared, report_shared
from leaderboard.audit._hashing import gene_coefficients, hash_block
from leaderboard.audit._similarity import COLUMNS, typed
from leaderboard.config import read_params
from leaderboard.inference.collect import _findings
from leaderboard.io import read_json, read_parquet, write_h5ad, write_json, write_parquet
from leaderboard.site.collect import collect as collect_site
from leaderboard.site.pages import build_pages
from leaderboard.spec import Board
from leaderboard.submission.publish import dataset_facts
from stages.duplicates import main as duplicates_stage
from tests.audit._cells import BOARD, build_cells
from tests.site_data import site

if TYPE_CHECKING:
    from anndata import AnnData

N_COPIED = 30


def counts_of(adata: "AnnData") -> CellCounts:
    return CellCounts(counts=adata.X, cells=adata.obs_names, genes=adata.var_names)


@pytest.fixture(scope="module")
def one() -> "AnnData":
    return build_cells(seed=0)


@pytest.fixture(scope="module")
def clean_other() -> "AnnData":
    """Other cells, with their genes in another order, some missing and some of their own."""
    from anndata import AnnData

    adata = build_cells(seed=9, n=300)
    rng = np.random.default_rng(2)
    genes = rng.permutation(adata.n_vars)[:300]
    own = sp.csr_matrix(rng.poisson(1.0, (adata.n_obs, 50)).astype(np.float32))
    names = [*adata.var_names[genes], *(f"OWN{i}" for i in range(50))]
    obs = adata.obs.set_axis([f"other-{i:03d}" for i in range(adata.n_obs)])
    return AnnData(
        sp.hstack([adata.X[:, genes], own], format="csr"), obs=obs, var=pd.DataFrame(index=names)
    )


@pytest.fixture(scope="module")
def other(one: "AnnData", clean_other: "AnnData") -> "AnnData":
    """The same with 30 cells of the first dataset, which keep only the genes measured here."""
    adata = clean_other.copy()
    shared = [g for g in adata.var_names if g in one.var_names]
    values = adata.to_df()
    values.iloc[:N_COPIED] = np.random.default_rng(3).poisson(1.0, (N_COPIED, adata.n_vars))
    copied = one.to_df().iloc[100 : 100 + N_COPIED][shared].to_numpy()
    values.loc[values.index[:N_COPIED], shared] = copied
    adata.X = sp.csr_matrix(values.to_numpy(dtype=np.float32))
    return adata


def test_copied_cells_of_another_dataset_are_found_on_the_shared_genes_alone(
    one: "AnnData", other: "AnnData"
) -> None:
    found, table = find_shared({"one": counts_of(one), "other": counts_of(other)})
    (comparison,) = found
    assert (comparison.one, comparison.other, comparison.n_genes) == ("one", "other", 300)
    assert comparison.n_shared == (N_COPIED, N_COPIED)
    own = table[table["dataset"] == "one"]
    assert own["cell_id"].tolist() == [f"cell-{100 + i:04d}" for i in range(N_COPIED)]
    assert own["other_cell_id"].tolist() == [f"other-{i:03d}" for i in range(N_COPIED)]
    assert len(table) == 2 * N_COPIED
    full = [
        pd.DataFrame(hash_block(sp.csr_matrix(a.X), gene_coefficients(a.var_names)))
        for a in (one, other)
    ]
    assert len(full[0].merge(full[1])) == 0, "hashes of all genes find none"


def test_datasets_without_a_common_cell_share_none(one: "AnnData", clean_other: "AnnData") -> None:
    (comparison,), table = find_shared({"one": counts_of(one), "other": counts_of(clean_other)})
    assert comparison.n_shared == (0, 0)
    assert min(comparison.n_compared) > 250
    assert table.empty


def test_fewer_than_200_shared_genes_are_not_compared(one: "AnnData", other: "AnnData") -> None:
    shared = [g for g in other.var_names if g in one.var_names][:199]
    (comparison,), table = find_shared(
        {"one": counts_of(one), "other": counts_of(other[:, shared].copy())}
    )
    assert (comparison.n_genes, comparison.n_compared) == (199, (0, 0))
    assert table.empty


def test_cells_with_fewer_than_50_counts_on_the_shared_genes_are_not_compared(
    one: "AnnData", other: "AnnData"
) -> None:
    shallow = other.copy()
    shared = shallow.var_names.isin(one.var_names)
    shallow.X = sp.csr_matrix(shallow.X.toarray() * np.where(shared, 0, 1).astype(np.float32))
    (comparison,), _ = find_shared({"one": counts_of(one), "other": counts_of(shallow)})
    assert comparison.n_compared == (480, 0)


def test_every_pair_of_three_datasets_is_compared_on_its_own_genes(
    one: "AnnData", other: "AnnData"
) -> None:
    third = one[50:120, 60:380].copy()
    third.obs_names = [f"third-{i}" for i in range(third.n_obs)]
    found, _ = find_shared({"a": counts_of(one), "b": counts_of(other), "c": counts_of(third)})
    shared = {(c.one, c.other): (c.n_genes, c.n_shared) for c in found}
    assert shared["a", "b"][1] == (N_COPIED, N_COPIED)
    assert shared["a", "c"] == (320, (70, 70))
    assert shared["b", "c"][1] == (20, 20)


BOARDS = (BOARD, replace(BOARD, split="random", matches="donor"))


def test_every_board_of_both_datasets_gets_a_warning_that_names_the_other(
    one: "AnnData", other: "AnnData"
) -> None:
    found, table = find_shared({"one": counts_of(one), "other": counts_of(other)})
    report = report_shared("one", BOARDS, one.obs, found, table)
    assert [f["board"] for f in report["findings"]] == [b.id for b in BOARDS]
    finding = report["findings"][0]
    assert (finding["check"], finding["severity"], finding["n"], finding["fold"]) == (
        "shared_cells", "warning", N_COPIED, -1,
    )  # fmt: skip
    assert finding["ids"] == [f"cell-{100 + i:04d}" for i in range(20)]
    assert finding["message"] == (
        "30 cell(s) are also in other (equal counts on 300 shared genes): a model that saw other "
        "has seen them"
    )
    turned = report_shared("other", BOARDS[:1], other.obs, found, table)
    assert turned["findings"][0]["ids"][0] == "other-000"
    (comparison,) = turned["comparisons"]
    assert comparison["dataset"] == "one"
    assert comparison["shared"] == [N_COPIED, N_COPIED]
    assert comparison["first"][0] == ["other-000", "cell-0100"]


def test_only_the_cells_of_a_board_count_for_it(one: "AnnData", other: "AnnData") -> None:
    found, table = find_shared({"one": counts_of(one), "other": counts_of(other)})
    copied = one.obs.iloc[100 : 100 + N_COPIED]
    for donor, n in copied["donor_id"].value_counts().items():
        part = replace(BOARD, where={"donor_id": (str(donor),)}, variant="part")
        (finding,) = report_shared("one", [part], one.obs, found, table)["findings"]
        assert finding["n"] == n
    without = replace(BOARD, where={"donor_id": ("D5",)}, variant="without")
    (finding,) = report_shared("one", [without], one.obs, found, table)["findings"]
    assert (finding["severity"], finding["n"]) == ("ok", 0)
    assert finding["message"] == "no cell(s) that other hold(s) too"


def test_a_dataset_that_shares_no_panel_with_another_says_so(one: "AnnData") -> None:
    found, table = find_shared({"one": counts_of(one)})
    (finding,) = report_shared("one", [BOARD], one.obs, found, table)["findings"]
    assert finding["severity"] == "ok"
    assert finding["message"] == "no other dataset of the suite shares 200 genes with this one"


PARAMS = """
release: "1"
threads: 1
seeds: [0]
folds: {seed: 1, k: 2, validation_fraction: 0.15}
tiers: {default: {}, full: {}}
boards:
  small: [{task: cell_type_annotation, split: donor, unit: donor_id}]
  other: []
"""


def record() -> dict[str, Any]:
    return {
        "title": "T", "summary": "S", "source": "sim_atlas", "parameters": {"seed": 1},
        "obs": ["donor_id"], "library": "unknown", "expected": {"cells": 1, "genes": 1},
        "licence": {"repository": "MIT", "data": "MIT"}, "citation": {"text": "T", "doi": ""},
        "organism": "none",
    }  # fmt: skip


def test_the_stage_writes_what_rank_and_render_read(
    in_folder: Path, one: "AnnData", other: "AnnData"
) -> None:
    (in_folder / "params.yaml").write_text(PARAMS, encoding="utf-8")
    suite = "known_truth"
    write_json(
        Path("data/datasets.yaml"),
        {suite: {"small": record(), "other": record()}, "public_small": {}, "public_large": {}},
    )
    write_h5ad(layout.clean(suite, "small"), one.copy())
    write_h5ad(layout.clean(suite, "other"), other.copy())
    duplicates_stage(suite)
    table = read_parquet(layout.shared_cells(suite) / "cells.parquet")
    assert len(table) == 2 * N_COPIED
    assert read_json(layout.duplicates(suite, "other"))["findings"] == []
    ok = {"board": BOARD.id, "check": "groups", "fold": 0, "severity": "ok", "n": 0, "ids": [],
          "message": "none"}  # fmt: skip
    write_json(layout.audit(suite, "small"), [ok])
    ranked = _findings(suite, "small")
    assert [f["check"] for f in ranked] == ["groups", "shared_cells"]
    rendered = collect_site(read_params(), {}).datasets["small"].audit
    assert rendered == ranked


def test_published_results_carry_the_warning_to_rank_and_to_the_pages(
    in_folder: Path, one: "AnnData", other: "AnnData"
) -> None:
    (in_folder / "params.yaml").write_text(PARAMS, encoding="utf-8")
    suite = "public_small"
    write_json(
        Path("data/datasets.yaml"),
        {suite: {"small": record(), "other": record()}, "known_truth": {}, "public_large": {}},
    )
    found, table = find_shared({"small": counts_of(one), "other": counts_of(other)})
    report = report_shared("small", [BOARD], one.obs, found, table)
    write_json(layout.duplicates(suite, "small"), report)
    write_json(layout.audit(suite, "small"), [])
    write_parquet(layout.novelty(suite, "small"), typed(pd.DataFrame(columns=COLUMNS)))
    write_json(layout.validation(suite, "small"), {"cells": 480})
    facts = dataset_facts("small", "1")
    assert facts["shared"][0]["shared"] == [N_COPIED, N_COPIED]
    write_json(layout.RESULTS / "small" / "_dataset.json", facts)
    (finding,) = _findings(suite, "small")
    assert (finding["check"], finding["n"]) == ("shared_cells", N_COPIED)
    assert collect_site(read_params(), {}).datasets["small"].audit == [finding]


def test_the_warning_is_on_the_pages_of_board_and_dataset_for_all_folds() -> None:
    data = site()
    board = next(b for b in data.boards if b.dataset == "real")
    warning = {
        "board": board.id, "check": "shared_cells", "fold": -1, "severity": "warning", "n": 30,
        "ids": ["c7"], "message": "30 cell(s) are also in other",
    }  # fmt: skip
    standings = {**data.standings[board.id], "findings": [warning], "n_checks": 6}
    facts = replace(data.datasets["real"], audit=[warning])
    pages = build_pages(
        replace(
            data,
            standings={**data.standings, board.id: standings},
            datasets={**data.datasets, "real": facts},
        )
    )
    for page in (pages[f"boards/{board.id}.html"], pages["datasets/real.html"]):
        assert "30 cell(s) are also in other" in page
        assert "30 30 cell(s)" not in page
        assert "all folds</b>" in page
        assert "fold -1" not in page
    assert "1 warning in 6 checks" in pages[f"boards/{board.id}.html"]


@pytest.mark.slow
@pytest.mark.mirror
def test_the_954_cells_that_kang_ifnb_shares_with_kang_ctrl_are_found(
    read_real: Callable[[str], "AnnData"],
) -> None:
    names = ("kang_ctrl", "kang_ifnb")
    real = {name: read_real(name) for name in names}
    found, table = find_shared({name: counts_of(adata) for name, adata in real.items()})
    shared = {(c.one, c.other): c.n_shared for c in found if any(c.n_shared)}
    assert shared == {("kang_ctrl", "kang_ifnb"): (954, 954)}
    # The barcodes agree, which no hash has looked at.
    own = table[table["dataset"] == "kang_ctrl"]
    assert ("ctrl_" + own["cell_id"] == own["other_cell_id"]).all()
    full = [
        pd.DataFrame(hash_block(sp.csr_matrix(real[n].X), gene_coefficients(real[n].var_names)))
        for n in names
    ]
    assert len(full[0].merge(full[1])) == 0
    board = Board(
        dataset="kang_ifnb", task="perturbation_prediction", split="donor", unit="donor_id"
    )
    report = report_shared("kang_ifnb", [board], real["kang_ifnb"].obs, found, table)
    assert [(f["severity"], f["n"]) for f in report["findings"]] == [("warning", 954)]
