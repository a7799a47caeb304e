"""Responding genes from means and variances, against scipy, scikit-learn and worked examples."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import false_discovery_control, ttest_ind, ttest_ind_from_stats
from sklearn.metrics import matthews_corrcoef

from leaderboard.errors import UndefinedScoreError
from leaderboard.metrics import METRICS
from leaderboard.metrics._differential import (
    ALPHA,
    benjamini_hochberg,
    genes_under_test,
    predicted_test,
    true_response,
)
from leaderboard.metrics.de_overlap import expected_hits
from leaderboard.spec import PerturbationUnit

DIRECTION, MCC, OVERLAP = "de_direction", "de_mcc", "de_overlap"
NAMES = (DIRECTION, MCC, OVERLAP)
N_GENES, N, N_CONTROL = 200, 60, 90


def cells_of(seed: int) -> dict[str, np.ndarray]:
    """Log-normal cells: 40 of 200 genes respond, the last 10 are hardly expressed."""
    rng = np.random.default_rng(seed)
    base = rng.uniform(0.5, 3.0, N_GENES)
    base[-10:] = 0.01
    shift = np.where(np.arange(N_GENES) < 40, rng.choice([-0.4, 0.4], N_GENES), 0.0)

    def draw(mean: np.ndarray, n: int) -> np.ndarray:
        return np.maximum(rng.normal(mean, 0.3 * np.minimum(mean, 1.0), (n, N_GENES)), 0.0)

    return {
        "test": draw(base + shift, N),
        "control_truth": draw(base, N_CONTROL),
        "control_input": draw(base, N_CONTROL),
        "predicted": draw(base + 0.5 * shift, 500),
    }


def unit_of(cells: dict[str, np.ndarray]) -> PerturbationUnit:
    mean = {name: block.mean(axis=0) for name, block in cells.items()}
    spread = {name: block.var(axis=0, ddof=1) for name, block in cells.items()}
    return PerturbationUnit(
        predicted=mean["predicted"], truth=mean["test"], control_input=mean["control_input"],
        control_truth=mean["control_truth"], weight=np.ones(N_GENES),
        other_truths=np.zeros((0, N_GENES)), reference=mean["control_input"],
        n=len(cells["test"]), n_control=len(cells["control_truth"]), variance=spread["test"],
        control_variance=spread["control_truth"], predicted_variance=spread["predicted"],
    )  # fmt: skip


@pytest.fixture(scope="module", params=range(4))
def case(request: pytest.FixtureRequest) -> PerturbationUnit:
    return unit_of(cells_of(request.param))


def by_hand(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return scipy's calls over the expressed genes, and which genes are expressed."""
    cells = cells_of(seed)
    tested = cells["control_truth"].mean(axis=0) * N >= 5 * np.log(2)
    p = ttest_ind(cells["test"], cells["control_truth"], equal_var=False).pvalue[tested]
    called: np.ndarray = false_discovery_control(p) < ALPHA
    return called, tested


@pytest.mark.parametrize("seed", range(4))
def test_true_calls_equal_scipys_welch_test_on_the_cells(seed: int) -> None:
    called, tested = by_hand(seed)
    response = true_response(unit_of(cells_of(seed)))
    np.testing.assert_array_equal(response.tested, tested)
    np.testing.assert_array_equal(response.called, called)
    assert 20 < called.sum() < 60
    assert not tested[-10:].any()


def test_the_predicted_test_uses_the_true_number_of_cells(case: PerturbationUnit) -> None:
    assert case.predicted_variance is not None
    expected = ttest_ind_from_stats(
        case.predicted, np.sqrt(case.predicted_variance), N, case.control_input,
        np.sqrt(case.control_variance), N_CONTROL, equal_var=False,
    )  # fmt: skip
    found = predicted_test(case, np.ones(N_GENES, dtype=bool))
    np.testing.assert_allclose(found.t, expected.statistic, rtol=1e-10)
    np.testing.assert_allclose(found.p, expected.pvalue, rtol=1e-8)


@pytest.mark.parametrize("seed", range(6))
def test_adjusted_p_values_equal_scipys(seed: int) -> None:
    p = np.round(np.random.default_rng(seed).random(50) ** 3, 2)
    np.testing.assert_allclose(benjamini_hochberg(p), false_discovery_control(p), rtol=1e-12)
    assert benjamini_hochberg(np.zeros(0)).shape == (0,)


def test_mcc_equals_scikit_learns(case: PerturbationUnit) -> None:
    response = true_response(case)
    predicted = benjamini_hochberg(predicted_test(case, response.tested).p) < ALPHA
    expected = matthews_corrcoef(response.called, predicted)
    assert METRICS[MCC].compute(case) == pytest.approx(expected, abs=1e-12)
    assert 0.2 < expected < 1


def test_overlap_counts_the_k_largest(case: PerturbationUnit) -> None:
    response = true_response(case)
    size = np.abs(predicted_test(case, response.tested).t)
    k = response.called.sum()
    expected = response.called[np.argsort(-size)[:k]].mean()
    assert METRICS[OVERLAP].compute(case) == pytest.approx(expected)


def test_ties_across_the_cut_count_as_their_average_over_orders() -> None:
    rng = np.random.default_rng(0)
    size = np.array([5.0, 3.0, 3.0, 3.0, 3.0, 1.0])
    called = np.array([True, True, False, False, True, False])
    found = []
    for _ in range(20_000):
        order = rng.permutation(6)
        top = order[np.argsort(-size[order], kind="stable")[:3]]
        found.append(called[top].sum())
    assert expected_hits(size, called) == pytest.approx(1 + 2 * 2 / 4)
    assert np.mean(found) == pytest.approx(2.0, abs=0.03)


def test_direction_equals_the_share_of_right_signs(case: PerturbationUnit) -> None:
    response = true_response(case)
    called = np.flatnonzero(response.tested)[response.called]
    predicted, true = case.predicted - case.control_input, case.truth - case.control_truth
    expected = np.mean(np.sign(predicted[called]) == np.sign(true[called]))
    assert METRICS[DIRECTION].compute(case) == pytest.approx(expected)


def test_direction_needs_no_variance_and_the_others_do(case: PerturbationUnit) -> None:
    bare = replace(case, predicted_variance=None)
    assert METRICS[DIRECTION].compute(bare) == METRICS[DIRECTION].compute(case)
    for name in (MCC, OVERLAP):
        with pytest.raises(UndefinedScoreError, match="no variance"):
            METRICS[name].compute(bare)


def test_predicting_control_scores_chance(case: PerturbationUnit) -> None:
    control = replace(case, predicted=case.control_input)
    response = true_response(case)
    assert METRICS[DIRECTION].compute(control) == 0.5 == METRICS[DIRECTION].floor
    assert METRICS[MCC].compute(control) == 0.0 == METRICS[MCC].floor
    assert METRICS[OVERLAP].compute(control) == pytest.approx(response.called.mean())


def test_flooding_does_not_pay(case: PerturbationUnit) -> None:
    """Shifting every gene beyond doubt calls them all; shrinking the variance does too."""
    shifted = replace(case, predicted=case.control_input + 50.0)
    flooded = replace(shifted, predicted_variance=np.zeros(N_GENES))
    calls = benjamini_hochberg(predicted_test(flooded, genes_under_test(case)).p) < ALPHA
    assert calls.all()
    assert METRICS[MCC].compute(flooded) == 0.0
    assert METRICS[OVERLAP].compute(flooded) < METRICS[OVERLAP].compute(case)
    assert METRICS[DIRECTION].compute(flooded) < METRICS[DIRECTION].compute(case)


def test_the_truth_scores_one_and_its_opposite_reverses_signs(case: PerturbationUnit) -> None:
    shift = case.truth - case.control_truth
    best = replace(case, predicted=case.control_input + shift, predicted_variance=case.variance)
    worst = replace(best, predicted=case.control_input - shift)
    assert [METRICS[name].compute(best) for name in NAMES] == pytest.approx([1.0] * 3)
    assert METRICS[DIRECTION].compute(worst) == 0


@pytest.mark.parametrize("name", NAMES)
def test_values_stay_in_bounds_and_ignore_the_order_of_genes(
    name: str, case: PerturbationUnit
) -> None:
    value, (low, high) = METRICS[name].compute(case), METRICS[name].bounds
    assert low <= value <= high
    order = np.random.default_rng(0).permutation(N_GENES)
    fields = ("predicted", "truth", "control_input", "control_truth", "weight", "variance",
              "control_variance", "predicted_variance", "reference")  # fmt: skip
    moved = replace(
        case, **{f: getattr(case, f)[order] for f in fields},
        other_truths=case.other_truths[:, order],
    )  # fmt: skip
    assert METRICS[name].compute(moved) == pytest.approx(value, abs=1e-12)


@pytest.mark.parametrize("name", NAMES)
def test_nothing_to_find_is_undefined_and_not_zero(name: str, case: PerturbationUnit) -> None:
    quiet = replace(case, truth=case.control_truth)
    with pytest.raises(UndefinedScoreError, match=r"none of .* tested genes truly responds"):
        METRICS[name].compute(quiet)
    for few in (replace(case, n=1), replace(case, n_control=1)):
        with pytest.raises(UndefinedScoreError, match="needs 2 cells"):
            METRICS[name].compute(few)
    silent = replace(case, control_truth=np.zeros(N_GENES))
    with pytest.raises(UndefinedScoreError, match="none of 0 tested genes"):
        METRICS[name].compute(silent)


@pytest.mark.parametrize("name", [MCC, OVERLAP])
def test_where_every_gene_responds_no_choice_can_be_wrong(
    name: str, case: PerturbationUnit
) -> None:
    loud = replace(case, truth=case.control_truth + 9.0)
    with pytest.raises(UndefinedScoreError, match=r"all .* tested genes truly respond"):
        METRICS[name].compute(loud)


def test_genes_without_spread_on_either_side_are_not_called(case: PerturbationUnit) -> None:
    still = np.zeros(N_GENES)
    constant = replace(case, variance=still, control_variance=still)
    with pytest.raises(UndefinedScoreError, match=r"none of .* tested genes truly responds"):
        METRICS[DIRECTION].compute(constant)


def test_the_genes_under_test_do_not_depend_on_the_truth(case: PerturbationUnit) -> None:
    other = replace(case, truth=case.truth[::-1].copy(), predicted=case.predicted + 3.0)
    np.testing.assert_array_equal(genes_under_test(case), genes_under_test(other))
