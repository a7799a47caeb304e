"""Rare recall by hand and against scikit-learn; units weigh by their rare cells."""

import numpy as np
import pytest
from sklearn.metrics import recall_score

from leaderboard.errors import UndefinedScoreError
from leaderboard.metrics import METRICS
from leaderboard.score import score_unit
from leaderboard.spec import AnnotationUnit, Observation
from leaderboard.tasks._annotation import board_mean

METRIC = METRICS["rare_recall"]


def unit(label: str, predicted: str, rare: str, unseen: str = "") -> AnnotationUnit:
    """Each letter is a cell, or a label."""
    return AnnotationUnit(
        label=np.array(list(label)),
        predicted=np.array(list(predicted)),
        classes=(),
        rare=tuple(rare),
        is_unseen=np.isin(list(label), list(unseen)),
    )


def test_only_rare_cells_count() -> None:
    assert METRIC.compute(unit("AAAAXXY", "BBBBXAY", "XY")) == pytest.approx(2 / 3)


def test_labels_that_training_never_held_are_left_to_the_open_set_metric() -> None:
    assert METRIC.compute(unit("AXXY", "AXAA", "XY", unseen="Y")) == 0.5
    with pytest.raises(UndefinedScoreError, match="no cell of this unit has a rare label"):
        METRIC.compute(unit("AAY", "AAY", "XY", unseen="Y"))


@pytest.mark.parametrize("seed", range(10))
def test_it_equals_the_pooled_recall_of_scikit_learn(seed: int) -> None:
    rng = np.random.default_rng(seed)
    label, predicted = rng.choice(list("ABCD"), (2, 80))
    case = AnnotationUnit(label=label, predicted=predicted, classes=(), rare=("C", "D"))
    expected = recall_score(label, predicted, labels=["C", "D"], average="micro")
    assert METRIC.compute(case) == pytest.approx(expected, abs=1e-14)


def test_a_row_says_how_many_rare_cells_it_speaks_of() -> None:
    cases = {"many": unit("AAAAXXXX", "AAAAXXXA", "X"), "none": unit("AAAA", "AAAA", "X")}
    rows = {
        name: score_unit(
            Observation(fold=0, seed=0, unit=name, n=len(case.label), parts=(case,)),
            [METRIC, METRICS["accuracy"]],
        )
        for name, case in cases.items()
    }
    assert [(r.n, r.value, r.status) for r in rows["many"]] == [(4, 0.75, "ok"), (8, 0.875, "ok")]
    assert [(r.n, r.value, r.status) for r in rows["none"]] == [
        (0, None, "undefined"),
        (4, 1.0, "ok"),
    ]


def test_the_mean_of_a_board_is_the_recall_of_all_its_rare_cells_together() -> None:
    units = [unit("RRRR", "RRRR", "R"), unit("RAAAAA", "AAAAAA", "R"), unit("AA", "AA", "R")]
    assert METRIC.is_pooled
    assert board_mean(METRIC, units) == pytest.approx(4 / 5)
    assert board_mean(METRICS["accuracy"], units) == pytest.approx((1 + 5 / 6 + 1) / 3)
