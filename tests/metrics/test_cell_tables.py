"""Sums of counts, ranks and tables of calls against scipy, plain loops and worked examples."""

from dataclasses import replace
from fractions import Fraction
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
import scipy.sparse as sp
from scipy.stats import mannwhitneyu, rankdata

from leaderboard.errors import UndefinedScoreError
from leaderboard.metrics import METRICS
from leaderboard.metrics._bulk import BULK_SUM, bulk_profile, jackknife
from leaderboard.metrics._cell_tables import CellTable, read_controls
from leaderboard.metrics._cells import CellSample
from leaderboard.metrics._ranks import keep_genes, rank_controls, rank_sum_test
from leaderboard.spec import PerturbationUnit
from tests.metrics._screens import unit

FIDELITY = "de_wilcoxon_direction_fidelity_yield_raw"
REACH, JACCARD = "de_wilcoxon_direction_reach_raw", "de_wilcoxon_sig_jaccard"
NMAE = "de_wilcoxon_lfc_nmae"


@pytest.mark.parametrize("seed", range(4))
def test_the_profile_and_its_noise_equal_leaving_cells_out_one_by_one(seed: int) -> None:
    cells = sp.csr_matrix(np.random.default_rng(seed).poisson(0.6, size=(40 + seed, 30)))

    def profile(block: sp.csr_matrix) -> np.ndarray:
        total = np.asarray(block.sum(axis=0), dtype=np.float64).ravel()
        logged: np.ndarray = np.log1p(BULK_SUM * total / total.sum())
        return logged

    n = cells.shape[0]
    left_out = np.stack([profile(cells[np.arange(n) != i]) for i in range(n)])
    expected = (n - 1) / n * ((left_out - left_out.mean(axis=0)) ** 2).sum()
    np.testing.assert_allclose(bulk_profile(cells), profile(cells), atol=1e-12)
    assert jackknife(cells) == pytest.approx(expected, rel=1e-10)


def test_a_group_without_counts_or_with_one_cell_has_no_noise() -> None:
    assert jackknife(sp.csr_matrix((5, 3))) == 0
    assert jackknife(sp.csr_matrix(np.array([[1.0, 2.0]]))) == 0
    assert not bulk_profile(sp.csr_matrix((5, 3))).any()


def test_one_cell_that_holds_all_counts_leaves_an_empty_profile() -> None:
    cells = sp.csr_matrix(np.array([[3.0, 1.0], [0.0, 0.0]]))
    full = bulk_profile(cells)
    assert jackknife(cells) == pytest.approx(0.5 * (full**2).sum() / 2)


@pytest.mark.parametrize("seed", range(6))
def test_p_values_equal_scipy_on_exact_proportions(seed: int) -> None:
    """Counts of small cells tie often: 2 of 400 is 1 of 200, which floating point may deny."""
    rng = np.random.default_rng(seed)
    rate = rng.uniform(0.02, 3.0, 12)
    one, other = (rng.poisson(rate, size=(n, 12)) for n in (25, 60))
    log_one, log_other = (
        sp.csr_matrix(np.log1p(1e6 * block / np.maximum(block.sum(axis=1, keepdims=True), 1)))
        for block in (one, other)
    )
    found = rank_sum_test(log_one, rank_controls(log_other))
    for gene in range(12):
        shares = [
            Fraction(int(block[i, gene]), max(int(block[i].sum()), 1))
            for block in (one, other)
            for i in range(len(block))
        ]
        place = {share: number for number, share in enumerate(sorted(set(shares)))}
        ranks = rankdata([place[share] for share in shares])
        expected = mannwhitneyu(ranks[:25], ranks[25:], method="asymptotic").pvalue
        assert found[gene] == pytest.approx(expected, rel=1e-10)


def test_a_gene_with_one_value_in_all_cells_has_p_one() -> None:
    none, all_equal = sp.csr_matrix((8, 2)), sp.csr_matrix(np.full((4, 2), 1.5))
    assert rank_sum_test(none, rank_controls(sp.csr_matrix((9, 2)))).tolist() == [1, 1]
    assert rank_sum_test(all_equal, rank_controls(all_equal)).tolist() == [1, 1]


def test_genes_are_kept_as_indexing_keeps_them() -> None:
    matrix = sp.csr_matrix(np.random.default_rng(1).poisson(0.4, size=(20, 30)))
    kept = np.random.default_rng(0).random(30) < 0.4
    np.testing.assert_array_equal(keep_genes(matrix, kept).toarray(), matrix.toarray()[:, kept])


def test_only_genes_that_controls_express_are_tested() -> None:
    counts = np.zeros((10, 3))
    counts[:, 0] = 400_000
    counts[0, 1] = 10  # 2.5 per million on average
    counts[:, 2] = 3  # 7.5 per million
    assert read_controls(sp.csr_matrix(counts)).kept.tolist() == [True, False, True]


def tabled(change: list[float], adjusted: list[float]) -> CellTable:
    p = np.array(adjusted)
    return CellTable(change=np.array(change), p=p, adjusted=p)


class Told(CellSample):
    """A sample whose tables are told, not computed."""

    def __init__(self, true: CellTable, predicted: CellTable) -> None:
        self.__dict__.update(told=true, predicted_table=predicted)

    @property
    def truth(self) -> Any:
        """A context with a control cell."""
        return SimpleNamespace(controls=np.zeros(1))

    @property
    def true_table(self) -> CellTable:
        return cast("CellTable", self.__dict__["told"])

    @property
    def scored(self) -> np.ndarray:
        return np.ones(len(self.true_table.p), dtype=bool)

    @property
    def gene_order(self) -> np.ndarray:
        return np.arange(len(self.true_table.p))


def told(true: CellTable, predicted: CellTable) -> PerturbationUnit:
    return replace(unit(None), cells=Told(true, predicted))


def test_reach_takes_the_deepest_pure_prefix_after_a_first_miss() -> None:
    true = tabled([1.0] * 12, [0.01] * 12)
    change = [-1.0] + [1.0] * 9 + [-1.0] * 2
    predicted = tabled(change, [0.001 * (i + 1) for i in range(12)])
    assert METRICS[REACH].compute(told(true, predicted)) == pytest.approx(10 / 12)
    worse = replace(predicted, change=np.array([-1.0] * 2 + [1.0] * 10))
    assert METRICS[REACH].compute(told(true, worse)) == 0


def test_reach_puts_ties_in_order_of_p_and_then_of_size() -> None:
    true = tabled([1.0, 1.0, 1.0], [0.01] * 3)
    predicted = CellTable(
        change=np.array([-9.0, 0.5, -2.0]), p=np.array([0.9, 0.1, 0.1]), adjusted=np.ones(3)
    )
    assert METRICS[REACH].compute(told(true, predicted)) == 0
    larger = replace(predicted, change=np.array([-9.0, 2.5, -2.0]))
    assert METRICS[REACH].compute(told(true, larger)) == pytest.approx(1 / 3)


def test_fidelity_charges_calls_too_many_and_too_few() -> None:
    true = tabled([1.0, 1.0, -1.0, 1.0], [0.01, 0.01, 0.9, 0.9])
    for adjusted, change, expected in (
        ([0.01, 0.01, 0.9, 0.9], [1, 1, 1, 1], 1.0),
        ([0.01, 0.90, 0.9, 0.9], [1, 1, 1, 1], 1 / 2),
        ([0.01, 0.01, 0.01, 0.01], [1, 1, 1, 1], 3 / 4),
        ([0.01, 0.01, 0.9, 0.9], [-1, 0, 1, 1], 0.0),
        ([0.90, 0.90, 0.9, 0.9], [1, 1, 1, 1], 0.0),
    ):
        case = told(true, tabled([float(c) for c in change], adjusted))
        assert METRICS[FIDELITY].compute(case) == pytest.approx(expected)


def test_jaccard_counts_missed_and_invented_calls_alike() -> None:
    true = tabled([1.0] * 4, [0.01, 0.01, 0.9, 0.9])
    assert METRICS[JACCARD].compute(told(true, tabled([1.0] * 4, [0.01, 0.9, 0.01, 0.9]))) == 1 / 3
    silent = tabled([1.0] * 4, [0.9] * 4)
    assert METRICS[JACCARD].compute(told(silent, silent)) == 1


def test_no_predicted_change_has_the_whole_fold_change_as_error() -> None:
    true = tabled([1.0, -2.0] * 6, [0.01] * 12)
    assert METRICS[NMAE].compute(told(true, tabled([0.0] * 12, [1.0] * 12))) == 1
    assert METRICS[NMAE].compute(told(true, true)) == 0


@pytest.mark.parametrize(
    ("name", "reason"),
    [(FIDELITY, "neither"), (REACH, "no gene is called"), (NMAE, "10 needed")],
)
def test_without_true_calls_there_is_no_value(name: str, reason: str) -> None:
    silent = tabled([1.0] * 20, [0.9] * 20)
    with pytest.raises(UndefinedScoreError, match=reason):
        METRICS[name].compute(told(silent, silent))
