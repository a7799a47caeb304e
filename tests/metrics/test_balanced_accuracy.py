"""Balanced accuracy against scikit-learn and worked examples."""

import numpy as np
import pytest
from sklearn.metrics import balanced_accuracy_score, recall_score

from leaderboard.errors import UndefinedScoreError
from leaderboard.metrics import METRICS
from leaderboard.spec import AnnotationUnit

balanced_accuracy = METRICS["balanced_accuracy"].compute


def unit(label: str, predicted: str, classes: str) -> AnnotationUnit:
    """Each letter is a cell, or a class."""
    return AnnotationUnit(
        label=np.array(list(label)), predicted=np.array(list(predicted)), classes=tuple(classes)
    )


def test_a_worked_example() -> None:
    # A: 2 of 3 found; B: 1 of 2; the cell of Z is no class, and what it was called does not count.
    assert balanced_accuracy(unit("AAABBZ", "AABABA", "AB")) == pytest.approx((2 / 3 + 1 / 2) / 2)


@pytest.mark.parametrize("seed", range(20))
def test_it_equals_scikit_learn(seed: int) -> None:
    rng = np.random.default_rng(seed)
    label, predicted = rng.choice(list("ABCD"), (2, 60), p=[0.4, 0.3, 0.2, 0.1])
    classes = tuple(np.unique(label))
    found = balanced_accuracy(AnnotationUnit(label=label, predicted=predicted, classes=classes))
    assert found == pytest.approx(balanced_accuracy_score(label, predicted), abs=1e-14)
    fewer = AnnotationUnit(label=label, predicted=predicted, classes=classes[:2])
    expected = recall_score(label, predicted, labels=list(classes[:2]), average="macro")
    assert balanced_accuracy(fewer) == pytest.approx(expected, abs=1e-14)


def test_one_answer_for_all_scores_one_over_the_number_of_classes() -> None:
    assert balanced_accuracy(unit("AAAAAAABBC", "AAAAAAAAAA", "ABC")) == pytest.approx(1 / 3)


def test_a_unit_without_a_class_is_undefined_and_says_why() -> None:
    with pytest.raises(UndefinedScoreError, match="no class of the board has 5 cells"):
        balanced_accuracy(unit("AB", "AB", ""))
