"""What a pair does beyond its singles: worked examples, scikit-learn, and rules of arithmetic."""

from dataclasses import replace

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from leaderboard.errors import UndefinedScoreError
from leaderboard.metrics import METRICS
from leaderboard.metrics._synergy import synergies
from leaderboard.spec import PerturbationUnit
from tests.metrics._units import profile, random_unit, unit

error = METRICS["synergy_error"].compute
auroc = METRICS["synergy_auroc"].compute


def pair(seed: int, genes: int = 60) -> PerturbationUnit:
    """A pair of which a third of the genes are moved beyond the singles."""
    rng = np.random.default_rng(seed)
    control, a, b = rng.uniform(1, 2, genes), *rng.normal(scale=0.5, size=(2, genes))
    synergy = np.where(np.arange(genes) % 3 == 0, rng.normal(scale=2.0, size=genes), 0.0)
    noise = rng.normal(scale=0.02, size=(3, genes))
    return unit(
        truth=control + a + b + synergy + noise[0],
        control_input=control + noise[1],
        control_truth=control + noise[2],
        predicted=control + a + b + 0.5 * synergy + rng.normal(scale=0.3, size=genes),
        singles=2 * control + a + b,
        singles_error=np.full(genes, 2e-3),
    )


def test_a_worked_example() -> None:
    # True synergy (1, 0), predicted (0, 2): ((1)^2 + 2^2) / 1^2.
    case = unit(
        truth=profile(4, 2), predicted=profile(3, 4), control_truth=profile(1, 1),
        control_input=profile(1, 1), singles=profile(4, 3), singles_error=profile(0.1, 0.1),
    )  # fmt: skip
    said, true, _ = synergies(case)
    assert true.tolist() == [1.0, 0.0]
    assert said.tolist() == [0.0, 2.0]
    assert error(case) == pytest.approx(5.0)


@pytest.mark.parametrize("seed", range(5))
def test_adding_up_the_measured_singles_scores_exactly_one(seed: int) -> None:
    case = pair(seed)
    assert case.singles is not None
    added = replace(case, predicted=case.singles - case.control_input)
    assert error(added) == 1.0
    assert METRICS["synergy_error"].floor == 1.0


def test_the_true_synergy_scores_zero_and_twice_it_scores_one() -> None:
    case = pair(0)
    assert case.singles is not None
    _, true, _ = synergies(case)
    base = case.singles - case.control_input
    assert error(replace(case, predicted=base + true)) == pytest.approx(0.0, abs=1e-24)
    assert error(replace(case, predicted=base + 2 * true)) == pytest.approx(1.0)


def test_the_error_adds_up_the_variances_of_all_four_means() -> None:
    case = random_unit(0)
    assert case.singles_error is not None
    expected = np.sqrt(
        case.variance / case.n + case.control_variance / case.n_control + case.singles_error
    )
    np.testing.assert_allclose(synergies(case)[2], expected, rtol=1e-12)


@pytest.mark.parametrize("seed", range(10))
def test_the_auroc_equals_scikit_learn_for_genes_beyond_three_errors(seed: int) -> None:
    case = pair(seed)
    said, true, spread = synergies(case)
    positive = np.abs(true) > 3 * spread
    assert 0 < positive.sum() < len(positive)
    assert auroc(case) == pytest.approx(roc_auc_score(positive, np.abs(said)), abs=1e-12)


def test_adding_up_the_singles_ties_all_genes_at_a_half() -> None:
    case = pair(1)
    assert case.singles is not None
    assert auroc(replace(case, predicted=case.singles - case.control_input)) == pytest.approx(0.5)


def test_the_truth_finds_the_genes_that_stand_out() -> None:
    case = pair(2)
    shifted = case.truth - case.control_truth + case.control_input
    assert auroc(replace(case, predicted=shifted)) > 0.95


@pytest.mark.parametrize("name", ["synergy_error", "synergy_auroc"])
def test_only_pairs_with_both_singles_are_scored(name: str) -> None:
    case = replace(pair(0), singles=None, singles_error=None)
    with pytest.raises(UndefinedScoreError, match="singles were both measured"):
        METRICS[name].compute(case)


def test_a_pair_without_any_synergy_is_undefined_and_not_zero() -> None:
    case = unit(truth=profile(2, 3), control_truth=profile(1, 1), singles=profile(3, 4),
                singles_error=profile(0.1, 0.1))  # fmt: skip
    with pytest.raises(UndefinedScoreError, match="no synergy at all"):
        error(case)
    with pytest.raises(UndefinedScoreError, match="0 of 2 genes are synergistic"):
        auroc(case)


def test_where_every_gene_is_synergistic_there_is_nothing_to_tell_apart() -> None:
    case = replace(pair(0), variance=np.zeros(60), control_variance=np.zeros(60),
                   singles_error=np.zeros(60))  # fmt: skip
    with pytest.raises(UndefinedScoreError, match="60 of 60 genes are synergistic"):
        auroc(case)
