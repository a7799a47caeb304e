"""Block sums of a screen against dense numpy, cell by cell."""

import sys
import tracemalloc
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

from leaderboard.spec import CONTROL, Board
from leaderboard.tasks._gate import _halves
from leaderboard.tasks._statistics import (
    CONTROL_BLOCK,
    N_BLOCKS,
    Statistics,
    fold_statistics,
    measure,
)
from tests.tasks._screens import TRUTH, board_of, log_cells

if TYPE_CHECKING:
    from anndata import AnnData

GENES = 12
tell = sys.stdout.write


def draw_screen(seed: int, sizes: Sequence[int] = (1, 2, 7, 23)) -> "AnnData":
    """5 perturbations and controls in two contexts, not all of them in both; odd sizes."""
    from anndata import AnnData

    rng = np.random.default_rng(seed)
    rows = []
    for context in ("k1", "k2"):
        rows += [(CONTROL, context)] * 40
        for perturbation in ("A", "B", "C", "A+B", "D"):
            if (perturbation, context) != ("D", "k2"):
                rows += [(perturbation, context)] * int(rng.choice(sizes))
    obs = pd.DataFrame(rows, columns=["perturbation", "cell_type"])
    obs.index = pd.Index([f"c{i}" for i in rng.permutation(len(obs))])
    counts = rng.poisson(1.0, (len(obs), GENES)).astype(np.float32)
    counts[rng.integers(len(obs), size=3)] = 0
    obs["total_counts_all_genes"] = counts.sum(axis=1) + rng.integers(1, 50, len(obs))
    var = pd.DataFrame(index=[*"ABCD", *(f"G{i}" for i in range(GENES - 4))])
    return AnnData(sp.csr_matrix(counts), obs=obs, var=var)


def controls_of(adata: "AnnData") -> np.ndarray:
    place = adata.obs.groupby(["perturbation", "cell_type"]).cumcount()
    return np.where(place % 2 == 0, "control_input", "control_truth")


def grouped_roles(adata: "AnnData") -> pd.DataFrame:
    """Two folds over perturbations; the second leaves the cells of ``A+B`` in k1 out."""
    is_control = (adata.obs["perturbation"] == CONTROL).to_numpy()
    folds = []
    for fold, tested in enumerate((["A", "D"], ["B", "C"])):
        role = np.where(adata.obs["perturbation"].isin(tested), "test", "train")
        role[adata.obs["perturbation"] == "C"] = "test" if fold else "validation"
        role = np.where(is_control, controls_of(adata), role)
        table = pd.DataFrame({"cell_id": adata.obs_names, "fold": fold, "role": role})
        absent = (adata.obs["perturbation"] == "A+B") & (adata.obs["cell_type"] == "k1")
        folds.append(table[~absent.to_numpy()] if fold else table)
    return pd.concat(folds, ignore_index=True)


def random_roles(adata: "AnnData") -> pd.DataFrame:
    """Three folds over cells; a tenth of them is in no fold but the first."""
    rng = np.random.default_rng(5)
    n, is_control = adata.n_obs, (adata.obs["perturbation"] == CONTROL).to_numpy()
    place, rare = rng.integers(3, size=n), rng.random(n) < 0.1
    folds = []
    for fold in range(3):
        role = np.where(place == fold, "test", np.where(place == (fold + 1) % 3, "train", "x"))
        role = np.where(role == "x", "validation", role)
        role = np.where(is_control, controls_of(adata), role)
        table = pd.DataFrame({"cell_id": adata.obs_names, "fold": fold, "role": role})
        folds.append(table if fold == 0 else table[~rare | is_control])
    return pd.concat(folds, ignore_index=True)


ROLES = {"grouped": grouped_roles, "random": random_roles}
Groups = dict[tuple[str, str, str], np.ndarray]


def dense_groups(adata: "AnnData", roles: pd.DataFrame, board: Board, fold: int) -> Groups:
    """Log-normalised cells of every (role, perturbation, context) of a fold."""
    counts = adata.X.toarray()
    factor = counts.sum(axis=1).astype(np.float64)
    if board.size_factor == "total":
        factor = adata.obs["total_counts_all_genes"].to_numpy(np.float64)
    role = roles[roles["fold"] == fold].set_index("cell_id")["role"]
    role = role.replace("validation", "train").reindex(adata.obs_names)
    target_sum = float(np.median(factor[(role == "control_input").to_numpy()]))
    values = log_cells(counts, factor, target_sum)
    keys = pd.DataFrame({"role": role.to_numpy()}).assign(
        p=adata.obs["perturbation"].to_numpy(), c=adata.obs["cell_type"].to_numpy()
    )
    groups: Any = keys.dropna().groupby(["role", "p", "c"]).groups
    return {(str(r), str(p), str(c)): values[rows.to_numpy()] for (r, p, c), rows in groups.items()}


@pytest.mark.parametrize("size_factor", ["panel", "total"])
@pytest.mark.parametrize("kind", list(ROLES))
@pytest.mark.parametrize("seed", range(4))
def test_tables_of_every_fold_equal_dense_numpy(seed: int, kind: str, size_factor: str) -> None:
    adata, board = draw_screen(seed), board_of(size_factor=size_factor)
    roles = ROLES[kind](adata)
    statistics = measure(adata, roles, board)
    for fold in range(roles["fold"].nunique()):
        groups, moments = statistics.tables(fold)
        expected = dense_groups(adata, roles, board, fold)
        keys = list(zip(groups["role"], groups["perturbation"], groups["context"], strict=True))
        assert sorted(keys) == sorted(expected)
        assert list(moments["gene"]) == list(adata.var_names)
        for k, key in enumerate(keys):
            cells = expected[key]
            assert groups["n"][k] == len(cells)
            assert groups["unit"][k] == ("" if key[1] == CONTROL else key[1])
            np.testing.assert_allclose(moments[f"mean:{k}"], cells.mean(axis=0), rtol=1e-10)
            spread = cells.var(axis=0, ddof=1) if len(cells) > 1 else np.full(GENES, np.nan)
            np.testing.assert_allclose(moments[f"variance:{k}"], spread, atol=1e-12)


@pytest.mark.parametrize("kind", list(ROLES))
def test_block_sums_add_up_to_every_cell_once(kind: str) -> None:
    adata = draw_screen(1)
    roles, board = ROLES[kind](adata), board_of()
    found = measure(adata, roles, board)
    counts = adata.X.toarray()
    values = log_cells(counts, counts.sum(axis=1).astype(np.float64), found.target_sum)
    np.testing.assert_allclose(found.block_total.sum(axis=0), values.sum(axis=0), rtol=1e-12)
    np.testing.assert_allclose(found.square.sum(axis=0), (values**2).sum(axis=0), rtol=1e-12)
    assert found.block_n.sum() == found.n.sum() == adata.n_obs
    assert (np.diff(found.block_atom) >= 0).all()
    for atom in range(len(found.perturbation)):
        own = found.block_atom == atom
        assert found.n[atom] == found.block_n[own].sum()
        np.testing.assert_allclose(found.total[atom], found.block_total[own].sum(axis=0))


def test_blocks_of_an_atom_are_as_even_as_they_go_and_as_many_as_they_should() -> None:
    adata = draw_screen(2, sizes=(7, 23, 61))
    found = measure(adata, grouped_roles(adata), board_of())
    for atom, perturbation in enumerate(found.perturbation):
        sizes = found.block_n[found.block_atom == atom]
        assert sizes.max() - sizes.min() <= 1
        wanted = N_BLOCKS
        if perturbation == CONTROL:
            wanted = max(N_BLOCKS, int(found.n[atom]) // CONTROL_BLOCK)
        assert len(sizes) == min(wanted, int(found.n[atom]))


def test_an_atom_is_in_one_role_a_fold_and_its_cells_agree_in_all_folds() -> None:
    adata = draw_screen(3)
    roles = random_roles(adata)
    found = measure(adata, roles, board_of())
    wide = roles.assign(role=roles["role"].replace("validation", "train"))
    wide = wide.pivot_table(index="cell_id", columns="fold", values="role", aggfunc="first")
    wide = wide.fillna("").loc[adata.obs_names]
    keys = pd.concat([adata.obs[["perturbation", "cell_type"]], wide], axis=1).value_counts()
    atoms = zip(found.perturbation, found.context, *found.role.T, strict=True)
    assert {(*map(str, key),): int(n) for key, n in zip(atoms, found.n, strict=True)} == {
        (*map(str, key),): int(n) for key, n in keys.items()
    }


def same(one: Statistics, other: Statistics) -> None:
    """Equal up to the rounding of sums."""
    assert one.target_sum == other.target_sum
    for name in ("perturbation", "context", "unit", "role", "block_atom", "block_n"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))
    np.testing.assert_allclose(one.block_total, other.block_total, rtol=1e-12)
    np.testing.assert_allclose(one.square, other.square, rtol=1e-12)


@pytest.mark.parametrize("kind", list(ROLES))
def test_the_order_of_cells_and_of_roles_does_not_move_a_block(kind: str) -> None:
    adata = draw_screen(4)
    roles = ROLES[kind](adata)
    order = np.random.default_rng(0).permutation(adata.n_obs)
    shuffled = roles.sample(frac=1, random_state=1)
    same(measure(adata, roles, board_of()), measure(adata[order].copy(), shuffled, board_of()))


def test_the_order_of_genes_moves_columns_and_nothing_else() -> None:
    adata = draw_screen(4)
    order = np.random.default_rng(0).permutation(GENES)
    one = measure(adata, grouped_roles(adata), board_of())
    other = measure(adata[:, order].copy(), grouped_roles(adata), board_of())
    assert other.genes == tuple(np.array(one.genes)[order])
    turned = replace(one, block_total=one.block_total[:, order], square=one.square[:, order])
    same(turned, other)


@pytest.mark.parametrize("kind", ["panel", "total"])
def test_the_target_sum_is_the_median_factor_of_the_controls_that_inputs_hold(kind: str) -> None:
    adata = draw_screen(6)
    roles = grouped_roles(adata)
    shown = roles.loc[(roles["fold"] == 0) & (roles["role"] == "control_input"), "cell_id"]
    cells = adata[shown.to_numpy()]
    factor = cells.X.sum(axis=1) if kind == "panel" else cells.obs["total_counts_all_genes"]
    found = measure(adata, roles, board_of(size_factor=kind)).target_sum
    assert found == pytest.approx(np.median(np.asarray(factor)))


@pytest.mark.parametrize("kind", list(ROLES))
def test_halves_share_no_cell_and_leave_none_out(kind: str) -> None:
    """n of the halves and their means give back the whole; targets are left out."""
    adata = draw_screen(5, sizes=(7, 23))
    found = measure(adata, ROLES[kind](adata), board_of())
    fold = fold_statistics(found, 1)
    rng = np.random.default_rng([1, 3])
    first, second = _halves(fold, 3)
    assert first.shape == fold.moments.mean.shape
    for group, role in enumerate(fold.moments.role):
        if role not in TRUTH:
            assert np.isnan(first[group]).all()
            assert np.isnan(second[group]).all()
            continue
        blocks = rng.permutation(fold.blocks[group])
        assert len(set(blocks)) == len(blocks)
        n = fold.block_n[blocks]
        assert n.sum() == fold.moments.n[group]
        a, b = n[::2].sum(), n[1::2].sum()
        whole = (a * first[group] + b * np.nan_to_num(second[group])) / (a + b)
        np.testing.assert_allclose(whole, fold.moments.mean[group], rtol=1e-12)


def test_two_splits_halve_differently_and_one_split_always_alike() -> None:
    adata = draw_screen(5, sizes=(23,))
    fold = fold_statistics(measure(adata, grouped_roles(adata), board_of()), 0)
    once, again, other = (_halves(fold, split)[0] for split in (0, 0, 1))
    np.testing.assert_array_equal(once, again)
    assert not np.allclose(once, other, equal_nan=True)


def test_a_large_sparse_screen_is_summed_without_a_dense_copy() -> None:
    """20,000 cells x 3,000 genes with 5 % entries: dense it is 480 MB in double precision.

    What must be held are the sums (blocks and atoms x genes x 8 bytes), a copy of the index of the
    cells, and the rows of the largest atom at a time; twice the sums and a quarter of the matrix
    leaves room for that and for nothing dense.
    """
    from anndata import AnnData

    rng = np.random.default_rng(0)
    n, genes = 20_000, 3_000
    counts: Any = sp.random(n, genes, 0.05, "csr", dtype=np.float32, rng=rng, data_rvs=np.ones)
    names = np.append(np.repeat(np.arange(90).astype(str), 200), np.repeat(CONTROL, 2_000))
    obs = pd.DataFrame({"perturbation": names, "cell_type": "k"}, index=[f"c{i}" for i in range(n)])
    adata = AnnData(counts, obs=obs, var=pd.DataFrame(index=[f"G{i}" for i in range(genes)]))
    role = np.where(np.arange(n) < 9_000, "train", "test")
    role = np.where(names == CONTROL, np.resize(["control_input", "control_truth"], n), role)
    roles = pd.DataFrame({"cell_id": obs.index, "fold": 0, "role": role})
    tracemalloc.start()
    found = measure(adata, roles, board_of())
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    sums = found.block_total.nbytes + found.square.nbytes
    stored = counts.data.nbytes + counts.indices.nbytes
    tell(f"peak {peak / 1e6:.0f}, sums {sums / 1e6:.0f}, matrix {stored / 1e6:.0f} MB\n")
    assert (found.role[:, 0] == "control_truth").sum() == 1
    assert peak < 2 * sums + stored / 4
    assert peak < n * genes * 8 / 4
