"""Metrics of stated probabilities against scikit-learn, brute force and worked examples."""

from dataclasses import replace
from itertools import permutations

import numpy as np
import pytest
from sklearn.calibration import calibration_curve
from sklearn.metrics import brier_score_loss, roc_auc_score

from leaderboard.errors import UndefinedScoreError
from leaderboard.metrics import METRICS
from leaderboard.spec import AnnotationUnit

NAMES = ("A", "B", "C")
PROBABILISTIC = ("aurc", "brier", "ece", "open_set_auroc")
ece, brier, aurc = (METRICS[name].compute for name in ("ece", "brier", "aurc"))
open_set_auroc = METRICS["open_set_auroc"].compute


def unit(label: str, probability: list[list[float]], predicted: str = "") -> AnnotationUnit:
    """Each letter is a cell; what is predicted is the likeliest label unless it is given."""
    values = np.array(probability, dtype=float)
    likeliest = np.array(NAMES)[values.argmax(axis=1)]
    return AnnotationUnit(
        label=np.array(list(label)),
        predicted=np.array(list(predicted)) if predicted else likeliest,
        classes=(),
        names=NAMES,
        probability=values,
    )


def random_unit(seed: int, n: int = 60, digits: int = 9) -> AnnotationUnit:
    """Probabilities of few digits tie often; D is a label that training never held."""
    rng = np.random.default_rng(seed)
    values = np.round(rng.dirichlet([0.7] * 3, n), digits)
    values[:, 0] += 1 - values.sum(axis=1)
    values = np.clip(values, 0.0, 1.0)
    label = np.array(NAMES)[[rng.choice(3, p=row / row.sum()) for row in values]]
    label[rng.random(n) < 0.2] = "D"
    predicted = np.array(NAMES)[values.argmax(axis=1)]
    return AnnotationUnit(
        label=label,
        predicted=predicted,
        classes=(),
        is_unseen=label == "D",
        names=NAMES,
        probability=values,
    )


@pytest.mark.parametrize("name", PROBABILISTIC)
def test_without_probabilities_a_metric_is_undefined(name: str) -> None:
    bare = replace(random_unit(0), probability=None, names=())
    with pytest.raises(UndefinedScoreError, match="gives no probabilities"):
        METRICS[name].compute(bare)


@pytest.mark.parametrize("name", PROBABILISTIC)
@pytest.mark.parametrize("digits", [1, 9])
def test_the_order_of_cells_and_labels_does_not_matter(name: str, digits: int) -> None:
    for seed in range(10):
        case = random_unit(seed, digits=digits)
        assert case.probability is not None
        rng = np.random.default_rng(seed)
        cells, columns = rng.permutation(len(case.label)), rng.permutation(3)
        other = replace(
            case,
            label=case.label[cells],
            predicted=case.predicted[cells],
            is_unseen=(case.label == "D")[cells],
            names=tuple(np.array(NAMES)[columns]),
            probability=case.probability[cells][:, columns],
        )
        value = METRICS[name].compute(other)
        assert value == pytest.approx(METRICS[name].compute(case), abs=1e-12)
        low, high = METRICS[name].bounds
        assert low <= value <= high


@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize("digits", [1, 9])
def test_open_set_auroc_equals_scikit_learn(seed: int, digits: int) -> None:
    case = random_unit(seed, digits=digits)
    assert case.probability is not None
    expected = roc_auc_score(case.label == "D", 1 - case.probability.max(axis=1))
    assert open_set_auroc(case) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("is_unseen", [None, np.zeros(60, dtype=bool), np.ones(60, dtype=bool)])
def test_open_set_auroc_needs_seen_and_unseen_cells(is_unseen: np.ndarray | None) -> None:
    with pytest.raises(UndefinedScoreError, match="labels that it did not"):
        open_set_auroc(replace(random_unit(0), is_unseen=is_unseen))


def test_open_set_auroc_of_equal_confidence_is_one_half() -> None:
    case = replace(random_unit(0), probability=np.full((60, 3), 1 / 3))
    assert open_set_auroc(case) == 0.5 == METRICS["open_set_auroc"].floor


def test_ece_by_hand() -> None:
    rows = [[0.95, 0.05, 0], [0.95, 0.05, 0], [0.55, 0.45, 0], [0.1, 0.2, 0.7]]
    # Bin .9: 2 cells, 1 right, gap |.95 - .5|; bin .5: right, gap .45; bin .7: wrong, gap .7.
    assert ece(unit("ABAA", rows)) == pytest.approx((2 * 0.45 + 0.45 + 0.7) / 4)


@pytest.mark.parametrize("seed", range(10))
def test_ece_equals_the_calibration_curve_of_scikit_learn(seed: int) -> None:
    case = random_unit(seed, n=300)
    assert case.probability is not None
    sure, right = case.probability.max(axis=1), case.label == case.predicted
    accuracy, confidence = calibration_curve(right, sure, n_bins=10, strategy="uniform")
    size = np.histogram(sure, bins=np.linspace(0, 1, 11))[0]
    gaps = np.abs(accuracy - confidence) * size[size > 0]
    assert ece(case) == pytest.approx(gaps.sum() / 300, abs=1e-12)


def test_ece_puts_full_confidence_into_the_last_bin() -> None:
    rows = [[1.0, 0, 0], [0.9, 0.1, 0]]
    assert ece(unit("AB", rows)) == pytest.approx(abs(1.9 - 1) / 2)


def test_ece_of_the_frequencies_of_labels_is_zero() -> None:
    rows = [[0.5, 0.25, 0.25]] * 8
    assert ece(unit("AAAABBCC", rows)) == 0.0


@pytest.mark.parametrize("seed", range(10))
def test_brier_equals_scikit_learn_on_labels_with_a_column(seed: int) -> None:
    case = random_unit(seed)
    assert case.probability is not None
    known = case.label != "D"
    seen = replace(
        case,
        label=case.label[known],
        predicted=case.predicted[known],
        is_unseen=None,
        probability=case.probability[known],
    )
    expected = brier_score_loss(
        seen.label, case.probability[known], labels=list(NAMES), scale_by_half=False
    )
    assert brier(seen) == pytest.approx(expected, abs=1e-12)


def test_brier_by_hand_also_for_a_label_without_a_column() -> None:
    rows = [[0.5, 0.5, 0.0], [0.0, 0.0, 1.0]]
    assert brier(unit("AD", rows)) == pytest.approx((0.25 + 0.25 + (1.0 + 1.0)) / 2)
    assert brier(unit("AC", [[1.0, 0, 0], [0, 0, 1.0]])) == 0.0
    assert brier(unit("A", [[0, 0, 1.0]])) == 2.0


def risk_coverage(sure: list[float], wrong: list[bool], order: tuple[int, ...]) -> float:
    taken = [wrong[k] for k in sorted(order, key=lambda k: -sure[k])]
    return float(np.mean([np.mean(taken[: k + 1]) for k in range(len(taken))]))


@pytest.mark.parametrize("seed", range(6))
def test_aurc_is_the_mean_over_every_order_of_tied_cells(seed: int) -> None:
    case = random_unit(seed, n=6, digits=0 if seed % 2 else 1)
    assert case.probability is not None
    sure = case.probability.max(axis=1).tolist()
    wrong = (case.label != case.predicted).tolist()
    # Sorting is stable, so the order that cells come in decides between cells that tie.
    every = [risk_coverage(sure, wrong, order) for order in permutations(range(6))]
    assert aurc(case) == pytest.approx(np.mean(every), abs=1e-12)


def test_aurc_by_hand() -> None:
    rows = [[0.9, 0.1, 0], [0.8, 0.2, 0], [0.7, 0.3, 0]]
    assert aurc(unit("AAB", rows)) == pytest.approx((0 + 0 + 1 / 3) / 3)
    assert aurc(unit("BAA", rows)) == pytest.approx((1 + 1 / 2 + 1 / 3) / 3)
    assert aurc(unit("AAA", rows)) == 0.0


def test_aurc_of_equal_confidence_is_the_share_of_errors() -> None:
    assert aurc(unit("AAAB", [[0.5, 0.3, 0.2]] * 4)) == pytest.approx(1 / 4)
