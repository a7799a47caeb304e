"""Sparse profiles equal dense numpy, and their sums add up over chunks of cells."""

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

from leaderboard.profiles import (
    cell_scale,
    group_moments,
    log_counts_of,
    log_normalise,
    size_factors,
    target_genes,
)


@pytest.fixture
def counts() -> sp.csr_matrix:
    """60 cells x 9 genes, of which the first cell is empty."""
    dense = np.random.default_rng(0).poisson(1.5, size=(60, 9)).astype(np.float32)
    dense[0] = 0
    return sp.csr_matrix(dense)


@pytest.fixture
def group() -> np.ndarray:
    """Group 3 has one cell, group 4 none, and the last five cells belong to no group."""
    number = np.arange(60) % 3
    number[10] = 3
    number[-5:] = -1
    return number


def test_the_panel_factor_is_the_sum_of_counts(counts: sp.csr_matrix) -> None:
    factor = size_factors(counts, pd.DataFrame(), "panel")
    assert factor.dtype == np.float64
    np.testing.assert_array_equal(factor, counts.toarray().sum(axis=1))


def test_the_total_factor_is_that_of_all_genes(counts: sp.csr_matrix) -> None:
    obs = pd.DataFrame({"total_counts_all_genes": np.arange(60, dtype=np.int64)})
    np.testing.assert_array_equal(size_factors(counts, obs, "total"), np.arange(60.0))


def test_log_normalise_equals_dense_numpy(counts: sp.csr_matrix) -> None:
    factor = size_factors(counts, pd.DataFrame(), "panel")
    dense = counts.toarray().astype(np.float64)
    with np.errstate(invalid="ignore"):
        expected = np.log1p(dense / factor[:, None] * 12.5)
    expected[0] = 0.0
    found = log_normalise(counts, factor, 12.5)
    assert sp.issparse(found)
    np.testing.assert_allclose(found.toarray(), expected, rtol=1e-14)


def test_log_normalise_leaves_its_input_alone(counts: sp.csr_matrix) -> None:
    before = counts.copy()
    log_normalise(counts, np.ones(60), 3.0)
    np.testing.assert_array_equal(counts.toarray(), before.toarray())


def test_after_normalisation_every_cell_adds_up_to_the_target(counts: sp.csr_matrix) -> None:
    factor = size_factors(counts, pd.DataFrame(), "panel")
    total = np.expm1(log_normalise(counts, factor, 40.0).toarray()).sum(axis=1)
    np.testing.assert_allclose(total[1:], 40.0, rtol=1e-12)
    assert total[0] == 0.0


def test_moments_equal_dense_numpy(counts: sp.csr_matrix, group: np.ndarray) -> None:
    n, mean, variance = group_moments(sp.csr_matrix(counts, dtype=float), group, 5)
    dense = counts.toarray().astype(np.float64)
    for k in range(4):
        cells = dense[group == k]
        assert n[k] == len(cells)
        np.testing.assert_allclose(mean[k], cells.mean(axis=0), rtol=1e-12)
        if len(cells) > 1:
            np.testing.assert_allclose(variance[k], cells.var(axis=0, ddof=1), atol=1e-12)


def test_one_cell_has_no_variance_and_no_cell_no_mean(
    counts: sp.csr_matrix, group: np.ndarray
) -> None:
    n, mean, variance = group_moments(sp.csr_matrix(counts, dtype=float), group, 5)
    assert n.tolist()[3:] == [1, 0]
    assert np.isnan(variance[3]).all()
    assert np.isfinite(mean[3]).all()
    assert np.isnan(mean[4]).all()
    assert np.isnan(variance[4]).all()


def test_a_constant_gene_has_variance_zero_and_never_less() -> None:
    values = sp.csr_matrix(np.full((50, 3), 0.1) * np.array([1.0, 1e3, 1e-3]))
    variance = group_moments(values, np.zeros(50, dtype=int), 1)[2]
    assert (variance >= 0).all()
    np.testing.assert_allclose(variance, 0.0, atol=1e-9)


def test_moments_ignore_the_order_of_cells(counts: sp.csr_matrix, group: np.ndarray) -> None:
    order = np.random.default_rng(1).permutation(60)
    values = sp.csr_matrix(counts, dtype=float)
    for one, other in zip(
        group_moments(values, group, 5), group_moments(values[order], group[order], 5), strict=True
    ):
        np.testing.assert_allclose(one, other, rtol=1e-12)


@pytest.mark.parametrize("cut", [1, 17, 59])
def test_moments_of_chunks_add_up_to_those_of_the_whole(
    counts: sp.csr_matrix, group: np.ndarray, cut: int
) -> None:
    values = sp.csr_matrix(counts, dtype=float)
    sums = []
    for part in (slice(0, cut), slice(cut, 60)):
        n, mean, variance = group_moments(values[part], group[part], 5)
        size = n[:, None]
        total = size * np.nan_to_num(mean)
        square = np.maximum(size - 1, 0) * np.nan_to_num(variance) + size * np.nan_to_num(mean) ** 2
        sums.append((size, total, square))
    n, total, square = (a + b for a, b in zip(*sums, strict=True))
    whole_n, whole_mean, whole_variance = group_moments(values, group, 5)
    np.testing.assert_array_equal(n.ravel(), whole_n)
    with np.errstate(invalid="ignore", divide="ignore"):
        np.testing.assert_allclose(total / n, whole_mean, rtol=1e-12)
        variance = (square - n * (total / n) ** 2) / (n - 1)
    np.testing.assert_allclose(variance[:3], whole_variance[:3], rtol=1e-10)


def test_a_cell_without_counts_is_scaled_by_nothing() -> None:
    scale = cell_scale(np.array([0.0, 4.0, 10.0]), 5.0)
    np.testing.assert_array_equal(scale, [0.0, 1.25, 0.5])


def test_the_rows_of_some_cells_equal_those_of_the_whole_normalised_matrix(
    counts: sp.csr_matrix,
) -> None:
    before = counts.copy()
    factor = size_factors(counts, pd.DataFrame(), "panel")
    chosen = np.array([7, 0, 7, 59])
    rows, values = log_counts_of(counts, chosen, cell_scale(factor, 12.5))
    expected = log_normalise(counts, factor, 12.5)[chosen]
    found = sp.csr_matrix((values, rows.indices, rows.indptr), shape=rows.shape)
    assert values.dtype == np.float64
    np.testing.assert_array_equal(found.toarray(), expected.toarray())
    np.testing.assert_array_equal(counts.toarray(), before.toarray())


def test_targets_of_singles_and_combinations_are_all_named() -> None:
    assert target_genes(["A", "B+C", "A+D"]) == {"A", "B", "C", "D"}
    assert target_genes([]) == frozenset()
