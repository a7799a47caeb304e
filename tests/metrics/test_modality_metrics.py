"""Metrics of predicted proteins against scipy, scikit-learn and worked examples."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import root_mean_squared_error

from leaderboard.errors import UndefinedScoreError
from leaderboard.metrics import METRICS
from leaderboard.spec import ModalityUnit

per_protein, per_cell, within_type, rmse = (
    METRICS[name].compute
    for name in ("pearson_per_protein", "pearson_per_cell", "pearson_within_type", "rmse")
)


def unit(seed: int = 0, n_cells: int = 90, n_proteins: int = 7) -> ModalityUnit:
    """Proteins of unlike level and spread, predicted with some skill; types of 45, 35 and 10."""
    rng = np.random.default_rng(seed)
    label = np.repeat(["A", "B", "C"], [n_cells - 45, 35, 10])
    level, spread = rng.normal(3, 2, n_proteins), rng.uniform(0.2, 2, n_proteins)
    truth = level + spread * rng.normal(size=(n_cells, n_proteins))
    predicted = level + 0.5 * (truth - level) + rng.normal(size=truth.shape)
    return ModalityUnit(predicted=predicted, truth=truth, label=label)


def columns(predicted: np.ndarray, truth: np.ndarray) -> list[float]:
    return [stats.pearsonr(p, t).statistic for p, t in zip(predicted.T, truth.T, strict=True)]


@pytest.mark.parametrize("seed", range(3))
def test_correlations_equal_scipys_one_by_one(seed: int) -> None:
    case = unit(seed)
    expected = np.mean(columns(case.predicted, case.truth))
    assert per_protein(case) == pytest.approx(expected, abs=1e-12)
    expected = np.mean(columns(case.predicted.T, case.truth.T))
    assert per_cell(case) == pytest.approx(expected, abs=1e-12)
    of_types = [
        np.mean(columns(case.predicted[case.label == t], case.truth[case.label == t]))
        for t in ("A", "B", "C")
    ]
    assert within_type(case) == pytest.approx(np.mean(of_types), abs=1e-12)


def test_rmse_equals_scikit_learns_over_all_entries() -> None:
    case = unit()
    expected = root_mean_squared_error(case.truth.ravel(), case.predicted.ravel())
    assert rmse(case) == pytest.approx(expected, abs=1e-12)


def test_a_worked_example() -> None:
    truth = np.array([[1.0, 5.0], [2.0, 5.0], [3.0, 5.0], [4.0, 5.0]])
    predicted = np.array([[4.0, 1.0], [3.0, 2.0], [2.0, 3.0], [1.0, 4.0]])
    case = ModalityUnit(predicted=predicted, truth=truth, label=np.repeat("A", 4))
    # The second protein does not vary and is left out; the first is predicted upside down.
    assert per_protein(case) == pytest.approx(-1.0)
    # Squared errors: 9 1 1 9 and 16 9 4 1.
    assert rmse(case) == pytest.approx(np.sqrt(50 / 8))


# What the mean per protein scores


def test_the_mean_per_protein_scores_zero_per_protein_whatever_it_scores_per_cell() -> None:
    for seed in range(5):
        case = unit(seed)
        mean = np.tile(case.truth.mean(axis=0).astype(np.float32), (len(case.truth), 1))
        blind = replace(case, predicted=mean.astype(np.float64))
        assert per_protein(blind) == 0.0
        assert within_type(blind) == 0.0
        assert per_cell(blind) > 0.5


def test_the_mean_of_each_type_scores_zero_within_types_and_more_over_all_cells() -> None:
    case = unit(1)
    shift = {"A": -3.0, "B": 0.0, "C": 4.0}
    by_type = np.array([shift[t] for t in case.label])[:, None]
    case = replace(case, truth=case.truth + by_type)
    means = np.zeros_like(case.truth)
    for t in shift:
        means[case.label == t] = case.truth[case.label == t].mean(axis=0)
    known = replace(case, predicted=means)
    assert within_type(known) == 0.0
    assert per_protein(known) > 0.5


def test_a_constant_protein_of_a_prediction_counts_as_zero_among_the_others() -> None:
    case = unit(2)
    predicted = case.truth.copy()
    predicted[:, :3] = 1.0
    assert per_protein(replace(case, predicted=predicted)) == pytest.approx(4 / 7)


def test_a_scale_or_a_shift_of_a_protein_moves_its_error_and_no_correlation_over_cells() -> None:
    case = unit(3)
    moved = replace(case, predicted=case.predicted * 3.0 + np.arange(7))
    assert per_protein(moved) == pytest.approx(per_protein(case), abs=1e-12)
    assert within_type(moved) == pytest.approx(within_type(case), abs=1e-12)
    assert rmse(moved) > 2 * rmse(case)
    assert per_cell(moved) != pytest.approx(per_cell(case), abs=0.01)


# Undefined


def few_cells(n: int) -> ModalityUnit:
    case = unit()
    return ModalityUnit(predicted=case.predicted[:n], truth=case.truth[:n], label=case.label[:n])


@pytest.mark.parametrize("n", [1, 2])
def test_a_unit_of_one_or_two_cells_has_no_correlation_over_cells(n: int) -> None:
    with pytest.raises(UndefinedScoreError, match=rf"{n} cell\(s\), 3 needed"):
        per_protein(few_cells(n))
    assert per_protein(few_cells(3)) == pytest.approx(
        np.mean(columns(few_cells(3).predicted, few_cells(3).truth))
    )
    assert rmse(few_cells(n)) > 0


def test_two_proteins_have_no_correlation_within_a_cell() -> None:
    case = unit(n_proteins=2)
    with pytest.raises(UndefinedScoreError, match=r"2 protein\(s\), 3 needed"):
        per_cell(case)


def test_a_truth_that_varies_nowhere_leaves_nothing_to_correlate() -> None:
    flat = replace(unit(), truth=np.ones((90, 7)))
    with pytest.raises(UndefinedScoreError, match="varies in none of the 7 proteins"):
        per_protein(flat)
    with pytest.raises(UndefinedScoreError, match="varies in none of the 90 cells"):
        per_cell(flat)
    with pytest.raises(UndefinedScoreError, match="no cell type of this unit"):
        within_type(flat)


def test_types_under_ten_cells_and_cells_without_a_type_are_left_out() -> None:
    case = unit()
    label: Any = np.where(case.label == "A", "", case.label)
    label[-1] = "D"  # C keeps 9 cells
    of_b = case.label == "B"
    expected = np.mean(columns(case.predicted[of_b], case.truth[of_b]))
    assert within_type(replace(case, label=label)) == pytest.approx(expected)
    with pytest.raises(UndefinedScoreError, match="no cell type of this unit has 10 cells"):
        within_type(replace(case, label=np.where(of_b, "", label)))
