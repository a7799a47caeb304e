"""Stated uncertainty against error, over genes and perturbations: planted truth and scipy."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from leaderboard.errors import UndefinedScoreError
from leaderboard.metrics.uncertainty_over_genes import uncertainty_over_genes
from leaderboard.metrics.uncertainty_over_perturbations import uncertainty_over_perturbations
from leaderboard.spec import PerturbationBoard, PerturbationUnit
from tests.metrics._units import unit

GENES, N, N_CONTROL = 300, 60, 150
LEVEL = np.random.default_rng(0).gamma(0.8, 2.0, GENES) + 0.05
"""Counts of the simulated genes, most of them low: the noise of a mean goes with expression."""


def cells(rng: np.random.Generator, n: int) -> np.ndarray:
    return np.asarray(np.log1p(rng.negative_binomial(2, 2 / (2 + LEVEL), (n, GENES))))


MANY = cells(np.random.default_rng(1), 5000)
TRUE, TRUE_VARIANCE = MANY.mean(axis=0), MANY.var(axis=0)
Draw = Callable[[np.random.Generator], np.ndarray]
ERRORS: dict[str, Draw] = {
    "none": lambda _: np.zeros(GENES),
    "equal": lambda rng: 0.1 * rng.standard_normal(GENES),
    "sparse": lambda rng: 0.5 * rng.standard_normal(GENES) * (rng.random(GENES) < 0.1),
}
"""Errors of the predicted means that have nothing to do with noise or expression."""
UNINFORMED: dict[str, Draw] = {
    "random": lambda rng: rng.random(GENES),
    "noise of other cells": lambda rng: cells(rng, N_CONTROL).var(axis=0),
    "noise, blurred": lambda rng: TRUE_VARIANCE * rng.lognormal(0.0, 0.5, GENES),
    "expression": lambda _: TRUE,
}


def measured(rng: np.random.Generator, error: np.ndarray) -> PerturbationUnit:
    """Counts of a perturbation and its controls; means that miss by ``error``, stated exactly."""
    test, control = cells(rng, N), cells(rng, N_CONTROL)
    return unit(
        truth=test.mean(axis=0), variance=test.var(axis=0, ddof=1), n=N,
        control_truth=control.mean(axis=0), control_variance=control.var(axis=0, ddof=1),
        n_control=N_CONTROL, predicted=TRUE + error, predicted_error=error**2,
    )  # fmt: skip


def over_draws(error: str, stated: Draw | None, n: int = 60) -> np.ndarray:
    values = []
    for seed in range(n):
        rng = np.random.default_rng([seed, 5])
        case = measured(rng, ERRORS[error](rng))
        if stated is not None:
            case = replace(case, predicted_error=stated(rng))
        values.append(uncertainty_over_genes(case))
    return np.array(values)


@pytest.mark.parametrize("stated", UNINFORMED)
@pytest.mark.parametrize("error", ERRORS)
def test_what_tells_nothing_of_the_errors_scores_about_zero_over_genes(
    error: str, stated: str
) -> None:
    """Noise and expression are held fixed as they are measured, so a little of them is left."""
    found = over_draws(error, UNINFORMED[stated])
    limit = 3 * found.std(ddof=1) / np.sqrt(len(found))
    allowed = 0.0 if stated == "random" else 0.05
    assert -limit < found.mean() < allowed + limit


def test_without_what_is_held_fixed_noise_alone_would_look_like_knowledge() -> None:
    rng = np.random.default_rng(3)
    found = [
        stats.spearmanr(cells(rng, N_CONTROL).var(axis=0), np.abs(case.truth - case.predicted))[0]
        for case in (measured(rng, np.zeros(GENES)) for _ in range(20))
    ]
    assert np.mean(found) > 0.3


@pytest.mark.parametrize("error", ["equal", "sparse"])
def test_exact_statements_score_high_shuffled_ones_zero_and_reversed_ones_low(error: str) -> None:
    for seed in range(5):
        rng = np.random.default_rng(seed)
        case = measured(rng, ERRORS[error](rng))
        stated = case.predicted_error
        assert stated is not None
        dealt = [replace(case, predicted_error=rng.permutation(stated)) for _ in range(40)]
        chance = np.array([uncertainty_over_genes(one) for one in dealt])
        assert uncertainty_over_genes(case) > max(0.3, chance.max())
        assert abs(chance.mean()) < 3 * chance.std(ddof=1) / np.sqrt(len(chance))
        reverse = replace(case, predicted_error=stated.max() - stated)
        assert uncertainty_over_genes(reverse) == pytest.approx(-uncertainty_over_genes(case))


def test_the_value_over_genes_is_the_partial_correlation_of_ranks_from_their_inverse() -> None:
    rng = np.random.default_rng(7)
    for _ in range(5):
        case = measured(rng, ERRORS["equal"](rng))
        stated = np.round(rng.lognormal(size=GENES), 1)  # with ties
        tested = (case.control_truth * N >= 5 * np.log(2)) & (case.variance > 0)
        table = np.stack([
            stated, np.abs(case.truth - case.predicted), case.variance / N, case.control_truth,
            case.control_variance,
        ])[:, tested]  # fmt: skip
        inverse = np.linalg.inv(stats.spearmanr(table, axis=1).statistic)
        expected = -inverse[0, 1] / np.sqrt(inverse[0, 0] * inverse[1, 1])
        found = uncertainty_over_genes(replace(case, predicted_error=stated))
        assert found == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("name", ["constant", "zero", "noise", "control mean", "control variance"])
def test_a_statement_in_the_order_of_what_is_held_fixed_scores_exactly_zero(name: str) -> None:
    rng = np.random.default_rng(11)
    case = measured(rng, ERRORS["equal"](rng))
    stated = {
        "constant": np.full(GENES, 0.3), "zero": np.zeros(GENES), "noise": case.variance**2,
        "control mean": np.exp(case.control_truth), "control variance": case.control_variance,
    }[name]  # fmt: skip
    assert uncertainty_over_genes(replace(case, predicted_error=stated)) == 0.0


def test_over_genes_too_few_of_them_or_no_statement_is_undefined() -> None:
    rng = np.random.default_rng(13)
    case = measured(rng, ERRORS["equal"](rng))
    shown = np.zeros(GENES)
    shown[np.argsort(-case.control_truth)[:9]] = case.control_truth.max()
    with pytest.raises(UndefinedScoreError, match=r"9 gene\(s\).*10 needed"):
        uncertainty_over_genes(replace(case, control_truth=shown))
    with pytest.raises(UndefinedScoreError, match="states no uncertainty"):
        uncertainty_over_genes(replace(case, predicted_error=None))
    foretold = replace(case, predicted=case.truth - case.variance)
    with pytest.raises(UndefinedScoreError, match="tell every miss"):
        uncertainty_over_genes(foretold)


# Over perturbations


def screened(
    size: np.ndarray, n: np.ndarray, rng: np.random.Generator, fold: np.ndarray | None = None
) -> PerturbationBoard:
    """Perturbations whose means are missed by ``size``, and stated so; ``n`` cells of each."""
    units = []
    for missed, n_cells in zip(size, n, strict=True):
        test = cells(rng, int(n_cells))
        units.append(
            unit(
                truth=test.mean(axis=0), variance=test.var(axis=0, ddof=1), n=int(n_cells),
                control_truth=TRUE, n_control=N_CONTROL,
                predicted=TRUE + missed * rng.choice([-1.0, 1.0], GENES),
                predicted_error=np.full(GENES, missed**2),
            )
        )  # fmt: skip
    block = np.zeros(len(size), dtype=np.int64) if fold is None else fold
    return PerturbationBoard(units=tuple(units), block=block)


def stating(board: PerturbationBoard, values: np.ndarray) -> PerturbationBoard:
    pairs = zip(board.units, values, strict=True)
    units = (replace(u, predicted_error=np.full(GENES, value)) for u, value in pairs)
    return replace(board, units=tuple(units))


def test_an_entry_that_knows_which_perturbations_it_gets_wrong_scores_high() -> None:
    rng = np.random.default_rng(1)
    size = rng.lognormal(-2.0, 0.7, 20)
    board = screened(size, rng.integers(20, 120, 20), rng)
    honest = uncertainty_over_perturbations(board)
    assert honest > 0.9
    assert uncertainty_over_perturbations(stating(board, -size)) == pytest.approx(-honest)
    chance = np.array(
        [uncertainty_over_perturbations(stating(board, rng.permutation(size))) for _ in range(200)]
    )
    assert abs(chance.mean()) < 3 * chance.std(ddof=1) / np.sqrt(len(chance))
    for constant in (0.0, 0.4):
        stated = np.full(20, constant)
        assert uncertainty_over_perturbations(stating(board, stated)) == 0.0


def test_over_perturbations_it_is_spearman_by_fold_and_context_weighted_by_their_number() -> None:
    rng = np.random.default_rng(2)
    fold = np.repeat([0, 1, 2], [6, 9, 4])
    board = screened(rng.lognormal(-2.0, 0.7, 19), np.full(19, 60), rng, fold)
    stated = rng.integers(1, 5, 19) / 10  # with ties
    expressed = 5 * np.log(2) <= TRUE * N_CONTROL
    actual = np.array(
        [np.mean(((u.truth - u.predicted) ** 2 - u.variance / u.n)[expressed]) for u in board.units]
    )
    parts = [stats.spearmanr(stated[fold == k], actual[fold == k])[0] for k in (0, 1)]
    expected = (6 * parts[0] + 9 * parts[1]) / 15
    found = uncertainty_over_perturbations(stating(board, stated))
    assert found == pytest.approx(expected), "four perturbations are too few for a correlation"


def test_an_order_of_folds_scores_nothing() -> None:
    """Strong perturbations in one fold, whose training therefore holds the weak ones."""
    rng = np.random.default_rng(3)
    fold = np.repeat([0, 1], 8)
    board = screened(np.where(fold == 0, 0.5, 0.1), np.full(16, 60), rng, fold)
    assert uncertainty_over_perturbations(stating(board, np.where(fold == 0, 0.1, 0.5))) == 0.0


def test_few_cells_are_no_error_of_the_entry() -> None:
    """A right mean is measured worse in fewer cells: who states 1 / n knows nothing of errors."""
    found, raw = [], []
    for seed in range(40):
        rng = np.random.default_rng([seed, 9])
        n = rng.integers(10, 100, 20)
        board = screened(np.full(20, 0.05), n, rng)
        found.append(uncertainty_over_perturbations(stating(board, 1 / n)))
        raw.append(
            stats.spearmanr(1 / n, [np.mean((u.truth - u.predicted) ** 2) for u in board.units])[0]
        )
    assert np.mean(raw) > 0.5, "the measured miss itself goes with the number of cells"
    assert abs(np.mean(found)) < 3 * np.std(found, ddof=1) / np.sqrt(len(found))


def test_perturbations_with_few_cells_are_asked_about_the_same_genes() -> None:
    """One statement for all, though fewer cells would let fewer genes be tested."""
    rng = np.random.default_rng(4)
    board = screened(rng.lognormal(-2.0, 0.7, 12), np.resize([8, 200], 12), rng)
    units = tuple(replace(u, predicted_error=TRUE**2) for u in board.units)
    assert uncertainty_over_perturbations(replace(board, units=units)) == 0.0


def test_a_perturbation_of_one_cell_has_no_known_noise_and_is_left_out() -> None:
    rng = np.random.default_rng(5)
    board = screened(rng.lognormal(-2.0, 0.7, 8), np.full(8, 60), rng)
    lone = replace(board.units[0], n=1, variance=np.full(GENES, np.nan))
    more = PerturbationBoard(units=(*board.units, lone), block=np.zeros(9, dtype=np.int64))
    assert uncertainty_over_perturbations(more) == uncertainty_over_perturbations(board)


def test_over_perturbations_too_few_of_them_or_a_missing_statement_is_undefined() -> None:
    rng = np.random.default_rng(6)
    board = screened(rng.lognormal(-2.0, 0.7, 4), np.full(4, 60), rng)
    with pytest.raises(UndefinedScoreError, match="no fold and context tests 5 perturbations"):
        uncertainty_over_perturbations(board)
    empty = PerturbationBoard(units=(), block=np.zeros(0, dtype=np.int64))
    with pytest.raises(UndefinedScoreError, match="no fold and context"):
        uncertainty_over_perturbations(empty)
    silent = (replace(board.units[0], predicted_error=None), *board.units[1:])
    with pytest.raises(UndefinedScoreError, match="states no uncertainty"):
        uncertainty_over_perturbations(replace(board, units=silent))
    unexpressed = tuple(replace(u, control_truth=np.zeros(GENES)) for u in board.units)
    with pytest.raises(UndefinedScoreError, match="express no gene"):
        uncertainty_over_perturbations(replace(board, units=unexpressed))
