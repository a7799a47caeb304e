"""The normalised weighted error against a worked example and a loop."""

import math
from dataclasses import replace

import numpy as np
import pytest

from leaderboard.errors import UndefinedScoreError
from leaderboard.metrics import METRICS
from leaderboard.spec import PerturbationUnit
from tests.metrics._units import profile, random_unit, unit

METRIC = METRICS["nwmse"]
nwmse = METRIC.compute


WORKED = unit(
    predicted=profile(1, 1, 3),
    truth=profile(1, 2, 3),
    control_input=profile(0, 0, 0),
    control_truth=profile(9, 9, 9),
    weight=profile(1, 1, 2),
    other_truths=np.zeros((0, 3)),
)


def naive(case: PerturbationUnit) -> float:
    """Sum gene by gene."""
    said = reference = 0.0
    for gene, weight in enumerate(case.weight):
        said += weight * (case.predicted[gene] - case.truth[gene]) ** 2
        reference += weight * (case.control_input[gene] - case.truth[gene]) ** 2
    return math.log(said / reference)


def test_a_worked_example() -> None:
    # Prediction: 1 (2 - 1)^2 / 4; control: (1 + 4 + 2 x 9) / 4.
    assert nwmse(WORKED) == pytest.approx(math.log(1 / 23))


@pytest.mark.parametrize("seed", range(10))
def test_it_equals_a_loop_over_genes(seed: int) -> None:
    assert nwmse(random_unit(seed)) == pytest.approx(naive(random_unit(seed)), rel=1e-12)


@pytest.mark.parametrize("seed", range(5))
def test_the_control_mean_scores_log_zero_which_is_shown_as_exactly_one(seed: int) -> None:
    case = random_unit(seed)
    value = nwmse(replace(case, predicted=case.control_input))
    assert value == 0.0
    assert METRIC.display(value) == 1.0
    assert METRIC.floor == 0.0


def test_the_truth_is_shown_as_zero_and_stays_finite() -> None:
    value = nwmse(replace(WORKED, predicted=WORKED.truth))
    assert math.isfinite(value)
    assert METRIC.display(value) == pytest.approx(0.0, abs=1e-300)


def test_halfway_from_control_to_truth_leaves_a_quarter_of_the_error() -> None:
    case = random_unit(0)
    value = nwmse(replace(case, predicted=(case.control_input + case.truth) / 2))
    assert METRIC.display(value) == pytest.approx(0.25)


def test_a_gene_without_weight_does_not_count() -> None:
    case = replace(WORKED, weight=profile(1, 0, 2))
    assert nwmse(replace(case, predicted=profile(0, 77, 3))) == pytest.approx(math.log(1 / 19))


def test_the_scale_of_the_weights_does_not_count() -> None:
    case = random_unit(1)
    assert nwmse(replace(case, weight=case.weight * 7)) == pytest.approx(nwmse(case), rel=1e-12)


def test_without_weights_it_is_undefined_and_says_why() -> None:
    with pytest.raises(UndefinedScoreError, match="all genes have the same t"):
        nwmse(replace(WORKED, weight=np.zeros(3)))


def test_a_truth_that_equals_control_is_undefined_and_says_why() -> None:
    with pytest.raises(UndefinedScoreError, match="the truth equals the control mean exactly"):
        nwmse(replace(WORKED, control_input=WORKED.truth))
