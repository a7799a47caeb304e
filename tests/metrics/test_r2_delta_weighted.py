"""The weighted R2 of shifts against scikit-learn."""

from dataclasses import replace

import numpy as np
import pytest
from sklearn.metrics import r2_score

from leaderboard.errors import UndefinedScoreError
from leaderboard.metrics import METRICS
from tests.metrics._units import profile, random_unit, unit

r2 = METRICS["r2_delta_weighted"].compute


def test_a_worked_example() -> None:
    # True shifts (0, 2), said (0, 1): 1 - 1/(1 + 1).
    case = unit(predicted=profile(5, 6), truth=profile(1, 3), control_input=profile(5, 5),
                control_truth=profile(1, 1))  # fmt: skip
    assert r2(case) == pytest.approx(0.5)


@pytest.mark.parametrize("seed", range(10))
def test_it_equals_scikit_learn_on_shifts_with_sample_weights(seed: int) -> None:
    case = random_unit(seed)
    true, said = case.truth - case.control_truth, case.predicted - case.control_input
    assert r2(case) == pytest.approx(r2_score(true, said, sample_weight=case.weight), rel=1e-10)


def test_the_true_shift_scores_one_and_its_weighted_mean_scores_zero() -> None:
    case = random_unit(0)
    shift = case.truth - case.control_truth
    assert r2(replace(case, predicted=case.control_input + shift)) == pytest.approx(1.0)
    level = np.average(shift, weights=case.weight)
    assert r2(replace(case, predicted=case.control_input + level)) == pytest.approx(0.0)


def test_no_shift_scores_below_zero_by_the_size_of_the_mean_shift() -> None:
    case = random_unit(1)
    shift = case.truth - case.control_truth
    mean = np.average(shift, weights=case.weight)
    spread = np.average((shift - mean) ** 2, weights=case.weight)
    none = r2(replace(case, predicted=case.control_input))
    assert none == pytest.approx(-(mean**2) / spread)


def test_a_gene_without_weight_does_not_count() -> None:
    case = random_unit(2)
    weight = case.weight.copy()
    weight[3] = 0.0
    wild = case.predicted.copy()
    wild[3] = 1e3
    one = replace(case, weight=weight)
    assert r2(replace(one, predicted=wild)) == pytest.approx(r2(one), rel=1e-12)


def test_without_weights_or_with_one_shift_for_all_genes_it_is_undefined() -> None:
    case = random_unit(0)
    with pytest.raises(UndefinedScoreError, match="no gene carries weight"):
        r2(replace(case, weight=np.zeros(15)))
    flat = replace(case, truth=np.full(15, 2.0), control_truth=np.ones(15), weight=np.ones(15))
    with pytest.raises(UndefinedScoreError, match="the same for all genes that carry weight"):
        r2(flat)
