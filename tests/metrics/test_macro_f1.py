"""Macro F1 against scikit-learn and a worked example."""

import numpy as np
import pytest
from sklearn.metrics import f1_score

from leaderboard.errors import UndefinedScoreError
from leaderboard.metrics import METRICS
from leaderboard.spec import AnnotationUnit

macro_f1 = METRICS["macro_f1"].compute


def unit(label: str, predicted: str, classes: str) -> AnnotationUnit:
    """Each letter is a cell, or a class."""
    return AnnotationUnit(
        label=np.array(list(label)), predicted=np.array(list(predicted)), classes=tuple(classes)
    )


def test_a_worked_example() -> None:
    # A: TP 2, FP 1, FN 1 -> 4/6; B: TP 1, FP 1, FN 1 -> 2/4.
    assert macro_f1(unit("AAABB", "AABAB", "AB")) == pytest.approx((4 / 6 + 2 / 4) / 2)


def test_false_positives_count_in_cells_of_labels_outside_the_classes() -> None:
    # The cell of the rare label Z is called A: A has TP 2, FP 1, FN 0.
    assert macro_f1(unit("AAZ", "AAA", "A")) == pytest.approx(4 / 5)


def test_a_prediction_outside_the_classes_costs_recall_only() -> None:
    assert macro_f1(unit("AAAA", "AAAZ", "A")) == pytest.approx(6 / 7)


@pytest.mark.parametrize("seed", range(20))
def test_it_equals_scikit_learn_over_the_frozen_classes(seed: int) -> None:
    rng = np.random.default_rng(seed)
    label, predicted = rng.choice(list("ABCDE"), (2, 60), p=[0.4, 0.3, 0.2, 0.08, 0.02])
    classes = tuple(c for c in "ABCD" if np.sum(label == c) >= 5)
    expected = f1_score(label, predicted, labels=list(classes), average="macro", zero_division=0.0)
    found = macro_f1(AnnotationUnit(label=label, predicted=predicted, classes=classes))
    assert found == pytest.approx(expected, abs=1e-14)


def test_it_equals_scikit_learn_when_nothing_is_found() -> None:
    with np.errstate(all="raise"):
        assert macro_f1(unit("AAABBB", "ZZZZZZ", "AB")) == 0.0


def test_a_class_that_is_absent_from_the_unit_is_neither_zero_nor_one() -> None:
    assert macro_f1(unit("AAAA", "AAAA", "A")) == 1.0
    assert macro_f1(unit("AAAA", "AAAB", "A")) == pytest.approx(6 / 7)


def test_majority_pays_for_every_class_it_misses() -> None:
    assert macro_f1(unit("AAAAB", "AAAAA", "AB")) == pytest.approx((8 / 9 + 0) / 2)


def test_a_unit_without_a_class_is_undefined_and_says_why() -> None:
    with pytest.raises(UndefinedScoreError, match="no class of the board has 5 cells"):
        macro_f1(unit("AB", "AB", ""))
