"""Copied cells on both sides of a fold are found, exact and noised; sound data raise nothing."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from scipy.special import comb

from leaderboard import layout
from leaderboard.audit import CHECKS, audit_dataset, find_copies
from leaderboard.audit._chance import distances, log_chance
from leaderboard.audit._hashing import gene_coefficients, group_equal, hash_block
from leaderboard.cases import build_cases, draw, split_name
from leaderboard.io import open_h5ad, write_h5ad, write_parquet
from leaderboard.spec import Board
from tests.audit._cells import (
    BOARD,
    RULE,
    build_cells,
    faults,
    fold_files,
    noised,
    replace_rows,
    rows_of,
)

if TYPE_CHECKING:
    from anndata import AnnData


@pytest.fixture(scope="module")
def cells() -> "AnnData":
    return build_cells()


@pytest.fixture(scope="module")
def sides(cells: "AnnData") -> tuple[np.ndarray, np.ndarray]:
    """Rows of 20 training and of 20 test cells of fold 0."""
    files = fold_files(cells)
    return rows_of(files, cells, "train")[:20], rows_of(files, cells, "test")[:20]


def test_a_clean_fold_raises_nothing_in_any_check(cells: "AnnData") -> None:
    files = fold_files(cells)
    assert faults(files) == {}
    messages = [f.message for f in CHECKS["duplicates"](files)]
    assert messages == [
        "no scored cell(s) equal to a cell that models see",
        "no scored cell(s) nearly equal to a cell that models see",
    ]


def test_20_copied_cells_across_roles_are_an_error_of_the_duplicates_check(
    cells: "AnnData", sides: tuple[np.ndarray, np.ndarray]
) -> None:
    train, test = sides
    found = faults(fold_files(replace_rows(cells, test, cells.X[train])))
    assert list(found) == ["duplicates"]
    (error,) = found["duplicates"]
    assert (error.severity, error.n) == ("error", 20)
    assert error.ids == tuple(cells.obs_names[test])
    assert error.message == (
        "20 scored cell(s) equal to a cell that models see; test and train: 20"
    )


@pytest.mark.parametrize("moved", [False, True], ids=["lost", "moved"])
def test_copies_of_which_1_percent_of_the_molecules_differ_are_an_error(
    cells: "AnnData", sides: tuple[np.ndarray, np.ndarray], moved: bool
) -> None:
    train, test = sides
    copies = noised(sp.csr_matrix(cells.X[train]), np.random.default_rng(5), moved=moved)
    assert (copies != cells.X[train]).nnz > 20
    found = faults(fold_files(replace_rows(cells, test, copies)))
    assert list(found) == ["duplicates"]
    assert {f.severity for f in found["duplicates"]} == {"error"}
    assert {i for f in found["duplicates"] for i in f.ids} == set(cells.obs_names[test])
    assert found["duplicates"][-1].message.startswith(
        f"{found['duplicates'][-1].n} scored cell(s) nearly"
    )


def test_a_near_copy_of_a_copied_cell_is_found_through_the_first_of_the_equal_ones(
    cells: "AnnData", sides: tuple[np.ndarray, np.ndarray]
) -> None:
    train, test = sides
    values = sp.vstack([cells.X[train[:1]]] * 2 + [noised(sp.csr_matrix(cells.X[train[:1]]),
                        np.random.default_rng(1), moved=True)])  # fmt: skip
    changed = replace_rows(cells, np.array([train[5], train[9], test[0]]), values)
    found = faults(fold_files(changed))["duplicates"]
    assert [f.ids for f in found] == [(cells.obs_names[test[0]],)]


def test_copies_on_one_side_are_no_leak(
    cells: "AnnData", sides: tuple[np.ndarray, np.ndarray]
) -> None:
    train, test = sides
    changed = replace_rows(cells, train[10:], cells.X[train[:10]])
    changed = replace_rows(changed, test[10:], changed.X[test[:10]])
    assert faults(fold_files(changed)) == {}
    assert len(find_copies(changed.X, changed.obs_names, changed.var_names).equal) == 40


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("control_truth", "control_input", "control_truth and control_input: 3"),
        ("test", "train", "test and train: 3"),
        ("control_truth", "train", "control_truth and train: 3"),
    ],
)
def test_controls_that_scores_use_must_not_be_shown(
    screen: "AnnData", screen_board: Board, old: str, new: str, said: str
) -> None:
    deep = screen.copy()
    deep.X = sp.csr_matrix(
        np.random.default_rng(0).poisson(screen.X.toarray() * 6.0 + 1.0).astype(np.float32)
    )
    files = fold_files(deep, screen_board)
    assert "duplicates" not in faults(files)
    scored, seen = rows_of(files, deep, old)[:3], rows_of(files, deep, new)[:3]
    found = faults(fold_files(replace_rows(deep, scored, deep.X[seen]), screen_board))
    assert [f.message.partition("; ")[2] for f in found["duplicates"]] == [said]


def test_equal_cells_with_few_counts_are_left_out_and_counted(
    cells: "AnnData", sides: tuple[np.ndarray, np.ndarray]
) -> None:
    train, test = sides
    shallow = np.zeros((40, cells.n_vars), dtype=np.float32)
    shallow[:, :49] = 1.0
    changed = replace_rows(cells, np.concatenate([train, test]), sp.csr_matrix(shallow))
    files = fold_files(changed)
    assert faults(files) == {}
    messages = [f.message for f in CHECKS["duplicates"](files)]
    assert all(m.endswith("40 cell(s) with fewer than 50 counts not compared") for m in messages)


def test_equal_cells_that_chance_may_make_are_a_warning(
    cells: "AnnData", sides: tuple[np.ndarray, np.ndarray]
) -> None:
    both = np.concatenate([rows[:5] for rows in sides])
    counts = np.zeros((10, cells.n_vars), dtype=np.float32)
    counts[:, 0] = 1000.0
    files = fold_files(replace_rows(cells, both, sp.csr_matrix(counts)))
    (found,) = faults(files)["duplicates"]
    assert (found.severity, found.n) == ("warning", 5)
    assert found.message == (
        "5 scored cell(s) with few molecules equal to a cell that models see; test and train: 5; "
        "chance may make them so"
    )
    counts[:, 1:101] = 1.0
    files = fold_files(replace_rows(cells, both, sp.csr_matrix(counts)))
    assert [(f.severity, f.n) for f in faults(files)["duplicates"]] == [("error", 5)]


def test_a_board_that_holds_nothing_out_says_that_there_are_no_two_sides(
    cells: "AnnData",
) -> None:
    whole = Board(dataset="small", task="batch_integration", split="whole", unit="donor_id")
    adata = cells.copy()
    adata.obs["batch"] = adata.obs["donor_id"]
    (only,) = CHECKS["duplicates"](fold_files(adata, whole))
    assert (only.severity, only.n) == ("ok", 0)
    assert only.message == "no cell is held out, so no copy can be on both sides"


def test_a_fold_without_a_search_for_copies_says_so(cells: "AnnData") -> None:
    (only,) = CHECKS["duplicates"](replace(fold_files(cells), copies=None))
    assert (only.severity, only.message[:27]) == ("warning", "nobody looked for copies: t")


@pytest.mark.parametrize("depth", [90.0, 3000.0])
@pytest.mark.parametrize("seed", [1, 2])
def test_cells_of_one_profile_raise_no_false_alarm(depth: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    share = np.exp(rng.normal(0.0, 1.5, 300))
    counts = sp.csr_matrix(rng.poisson(depth * share / share.sum(), (3000, 300)).astype(np.float32))
    found = find_copies(counts, [f"c{i}" for i in range(3000)], [f"g{i}" for i in range(300)])
    assert len(found.equal) == len(found.near) == 0


def test_nearly_all_noised_copies_among_cells_of_one_profile_are_found() -> None:
    rng = np.random.default_rng(3)
    share = np.exp(rng.normal(0.0, 1.5, 300))
    counts = sp.csr_matrix(rng.poisson(600 * share / share.sum(), (3000, 300)).astype(np.float32))
    copies = noised(counts[:300], rng, moved=True)
    names = [f"c{i}" for i in range(3300)]
    stacked = sp.vstack([counts, copies], format="csr")
    found = find_copies(stacked, names, [f"g{i}" for i in range(300)])
    pairs = set(zip(found.near["one"], found.near["other"], strict=True))
    pairs |= {(first, cell) for cell, first in found.equal.items() if cell != first}
    planted = {(f"c{i}", f"c{3000 + i}") for i in range(300)}
    assert pairs <= planted
    assert len(pairs) >= 297


def test_the_chance_of_equal_cells_is_that_of_equal_splits_of_every_count() -> None:
    counts = np.array([[1, 1, 0, 3, 7], [0, 2, 0, 0, 0]], dtype=np.float64)
    exact = [
        sum(np.log(comb(2 * x, x, exact=True) / 4**x) for x in row if x)
        for row in counts.astype(int).tolist()
    ]
    both = sp.csr_matrix(counts)
    assert log_chance(both, both) == pytest.approx(np.array(exact) + np.log(2), abs=1e-6)
    assert distances(both, both) == pytest.approx([0.0, 0.0])


@pytest.mark.parametrize("depth", [20.0, 200.0, 20_000.0])
def test_the_chance_is_an_upper_bound_for_cells_drawn_apart(depth: float) -> None:
    rng = np.random.default_rng(int(depth))
    share = np.exp(rng.normal(0.0, 1.0, 60))
    rate = depth * share / share.sum()
    one, other = (sp.csr_matrix(rng.poisson(rate, (4000, 60)).astype(float)) for _ in "ab")
    chance = log_chance(one, other)
    for level in (0.3, 0.1, 0.01, 1e-3):
        assert np.mean(chance <= np.log(level)) <= level + 2 * np.sqrt(level / 4000)


def test_the_hash_depends_on_neither_the_order_nor_the_rest_of_the_genes(cells: "AnnData") -> None:
    counts, genes = sp.csr_matrix(cells.X), np.asarray(cells.var_names)
    hashes = hash_block(counts, gene_coefficients(genes))
    order = np.random.default_rng(0).permutation(len(genes))
    assert (hash_block(counts[:, order], gene_coefficients(genes[order])) == hashes).all()
    kept = np.flatnonzero(np.arange(len(genes)) % 3)
    part = gene_coefficients(genes) * np.isin(np.arange(len(genes)), kept)[:, None].astype(
        np.uint64
    )
    assert (
        hash_block(counts[:, kept], gene_coefficients(genes[kept])) == hash_block(counts, part)
    ).all()


def test_equal_hashes_are_equal_counts_and_nothing_else(cells: "AnnData") -> None:
    stacked = sp.vstack([cells.X, cells.X[[5, 3, 5]]], format="csr")
    dense = stacked.toarray()
    _, inverse = np.unique(dense, axis=0, return_inverse=True)
    first = group_equal(hash_block(stacked, gene_coefficients(cells.var_names)))
    assert first[-3:].tolist() == [5, 3, 5]
    frame = pd.Series(np.arange(len(dense))).groupby(inverse.ravel()).transform("min")
    assert first.tolist() == frame.tolist()


def test_counts_in_a_file_give_the_same_as_counts_in_memory(
    cells: "AnnData", sides: tuple[np.ndarray, np.ndarray], tmp_path: Path
) -> None:
    train, test = sides
    copies = noised(sp.csr_matrix(cells.X[train]), np.random.default_rng(5), moved=True)
    changed = replace_rows(cells, test, copies)
    write_h5ad(tmp_path / "cells.h5ad", changed.copy())
    in_memory = find_copies(changed.X, changed.obs_names, changed.var_names)
    with open_h5ad(tmp_path / "cells.h5ad") as adata:
        in_file = find_copies(adata.X, adata.obs_names, adata.var_names)
    pd.testing.assert_frame_equal(in_file.near, in_memory.near)
    assert len(in_file.near) + len(in_file.equal) // 2 == 20
    assert in_file.near["distance"].between(0, 0.05).all()


def test_the_search_finds_the_same_in_any_order_of_cells(
    cells: "AnnData", sides: tuple[np.ndarray, np.ndarray]
) -> None:
    train, test = sides
    copies = noised(sp.csr_matrix(cells.X[train]), np.random.default_rng(5), moved=True)
    changed = replace_rows(cells, test, copies)
    turned = changed[::-1].copy()
    found = [find_copies(a.X, a.obs_names, a.var_names) for a in (changed, turned)]
    sets = [
        {frozenset(pair) for pair in zip(f.near["one"], f.near["other"], strict=True)}
        for f in found
    ]
    assert sets[0] == sets[1]


def test_the_stage_finds_copies_in_the_files_of_a_dataset(
    in_folder: Path, cells: "AnnData", sides: tuple[np.ndarray, np.ndarray]
) -> None:
    assert in_folder.is_dir()
    train, test = sides
    changed = replace_rows(cells, test, cells.X[train])
    roles = draw(changed.obs, BOARD, RULE)[0]
    suite, dataset = "known_truth", BOARD.dataset
    write_h5ad(layout.clean(suite, dataset), changed.copy())
    write_parquet(layout.splits(suite, dataset) / f"{split_name(BOARD)}.parquet", roles)
    for fold, case in build_cases(changed, roles, BOARD, "test"):
        folder = Path(BOARD.id) / layout.fold_name(fold)
        write_h5ad(layout.cases(suite, dataset) / folder / "inputs.h5ad", case.inputs)
        write_parquet(layout.truth(suite, dataset) / folder / "truth.parquet", case.truth)
    found = audit_dataset(suite, dataset, [BOARD], "single")
    errors = [f for f in found if f["severity"] == "error"]
    assert {f["check"] for f in errors} == {"duplicates"}
    assert next(f for f in errors if f["fold"] == 0)["n"] == 20
    # A test cell of fold 0 trains in the others, where its original is tested.
    donor = changed.obs["donor_id"]
    tested = {f["fold"]: f["n"] for f in errors}
    assert tested[0] == 20
    assert sum(tested.values()) == 20 + int((donor.iloc[train] != donor.iloc[test].iloc[0]).sum())
