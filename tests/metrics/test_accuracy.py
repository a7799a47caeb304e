"""Accuracy against scikit-learn."""

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, f1_score

from leaderboard.metrics import METRICS
from leaderboard.spec import AnnotationUnit

accuracy = METRICS["accuracy"].compute


def unit(label: str, predicted: str) -> AnnotationUnit:
    return AnnotationUnit(
        label=np.array(list(label)), predicted=np.array(list(predicted)), classes=("A",)
    )


@pytest.mark.parametrize("seed", range(5))
def test_it_equals_scikit_learn_and_micro_f1(seed: int) -> None:
    label, predicted = np.random.default_rng(seed).choice(list("ABC"), (2, 50))
    found = accuracy(AnnotationUnit(label=label, predicted=predicted, classes=()))
    assert found == pytest.approx(accuracy_score(label, predicted))
    assert found == pytest.approx(f1_score(label, predicted, average="micro"))


def test_labels_outside_the_classes_count() -> None:
    assert accuracy(unit("AABZ", "AABZ")) == 1.0
    assert accuracy(unit("AABZ", "AAAA")) == 0.5


def test_a_longer_name_is_not_cut_to_the_length_of_a_shorter_one() -> None:
    case = AnnotationUnit(
        label=np.array(["T", "T"]), predicted=np.array(["T cell", "T"]), classes=("T",)
    )
    assert accuracy(case) == 0.5
