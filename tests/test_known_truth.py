"""Scores of predictors whose expectation is known, over 200 small simulations each.

A score less its expectation given what was drawn must be zero within three standard errors of the
mean over simulations.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from leaderboard.cases import build_case, draw
from leaderboard.datasets import SOURCES
from leaderboard.errors import UndefinedScoreError
from leaderboard.metrics import METRICS
from leaderboard.models import MODELS
from leaderboard.score import metrics_of, score_board
from leaderboard.spec import CONTROL, Board, Case, Evidence, FoldRule, PerturbationUnit, RunContext
from leaderboard.tasks._moments import Moments
from leaderboard.tasks._perturbation import key_of, unit_parts
from leaderboard.tasks._statistics import fold_statistics, measure
from tests.conftest import build_atlas, build_screen

if TYPE_CHECKING:
    from anndata import AnnData

pytestmark = pytest.mark.slow

N = 200
MIN_CLASS_CELLS = 5
Predict = Callable[[Moments, int, np.random.Generator], np.ndarray]


def within_three_errors(gaps: Sequence[float]) -> None:
    """The mean gap is no further from zero than chance allows, and chance allows something."""
    assert len(gaps) >= N
    error = stats.sem(gaps)
    assert error > 0
    assert abs(np.mean(gaps)) < 3 * error, (np.mean(gaps), error)


# Annotation


@pytest.fixture(scope="module")
def atlases(atlas_board: Board, rule: FoldRule) -> list[Case]:
    """Fold 0 of 200 atlases: one donor to test."""
    found = []
    for seed in range(N):
        adata = build_atlas(seed)
        found.append(
            build_case(adata, draw(adata.obs, atlas_board, rule)[0], atlas_board, 0, "test")
        )
    return found


def atlas_scores(case: Case, seed: int, model: str, board: Board) -> Any:
    """Scores of a model by metric and donor; every donor has all of its classes in C."""
    run = RunContext(seed=seed, threads=1, max_epochs=None, log=lambda *_: None)
    table = MODELS[model].load().annotate(case.inputs, run)
    item = Evidence(fold=0, seed=0, prediction=table, truth=case.truth)
    classes = {
        str(unit): [c for c, n in cells["label"].value_counts().items() if n >= MIN_CLASS_CELLS]
        for unit, cells in case.truth.groupby("unit")
    }
    scores = score_board(model, board, [item], {"class_units": classes}, metrics_of(board.task))
    return scores.set_index(["metric", "unit"])["value"]


def expected_f1(n_true: int, n_other: int, q: float) -> float:
    """Exact mean of F1 where every cell gets the label with probability q.

    Sum over the numbers of hits and of false alarms, two independent binomials.
    """
    hits, alarms = np.arange(n_true + 1), np.arange(n_other + 1)
    weight = np.outer(stats.binom.pmf(hits, n_true, q), stats.binom.pmf(alarms, n_other, q))
    f1 = 2 * hits[:, None] / (n_true + hits[:, None] + alarms)
    return float((weight * f1).sum())


def test_random_labels_score_their_expectation(atlases: list[Case], atlas_board: Board) -> None:
    """Accuracy: sum of true times drawn frequency; macro F1: the exact mean of every class."""
    accuracy: list[float] = []
    macro: list[float] = []
    for seed, case in enumerate(atlases):
        scores = atlas_scores(case, seed, "stratified_random", atlas_board)
        shown = case.inputs.obs["cell_type"].dropna().astype(str)
        q = shown.value_counts(normalize=True)
        for unit, cells in case.truth.groupby("unit"):
            n = cells["label"].value_counts()
            share = float((n / n.sum() * q[n.index]).sum())
            classes = [c for c in n.index if n[c] >= MIN_CLASS_CELLS]
            f1 = np.mean([expected_f1(int(n[c]), int(n.sum() - n[c]), q[c]) for c in classes])
            accuracy.append(scores["accuracy", unit] - share)
            macro.append(scores["macro_f1", unit] - f1)
    within_three_errors(accuracy)
    within_three_errors(macro)


def test_the_majority_label_scores_exactly_what_its_frequency_says(
    atlases: list[Case], atlas_board: Board
) -> None:
    frequencies = []
    for seed, case in enumerate(atlases):
        scores = atlas_scores(case, seed, "majority", atlas_board)
        for unit, cells in case.truth.groupby("unit"):
            n = cells["label"].value_counts()
            share, n_classes = n["A"] / n.sum(), (n >= MIN_CLASS_CELLS).sum()
            assert scores["accuracy", unit] == pytest.approx(share, abs=1e-12)
            f1 = 2 * share / (1 + share) / n_classes
            assert scores["macro_f1", unit] == pytest.approx(f1, abs=1e-12)
            frequencies.append(share - 0.5)  # half of the cells of an atlas are A
    within_three_errors(frequencies)


# Perturbations


def roles_of(adata: "AnnData") -> pd.DataFrame:
    """Half of the singles are trained on, with all pairs; controls are halved."""
    name = adata.obs["perturbation"].to_numpy(dtype=str)
    place = adata.obs.groupby(["perturbation", "cell_type"]).cumcount().to_numpy()
    number = pd.Series(name).str.extract(r"^G(\d+)$")[0].astype(float).to_numpy()
    role = np.where(number % 2 == 0, "test", "train").astype(object)
    role[name == "G000+G001"] = "test"
    half = np.where(place % 2 == 0, "control_input", "control_truth")
    role = np.where(name == CONTROL, half, role)
    return pd.DataFrame({"cell_id": adata.obs_names, "fold": 0, "role": role})


@pytest.fixture(scope="module")
def screens(screen_board: Board) -> list[Moments]:
    """Fold 0 of 200 screens of 20 perturbations in 2 cell types."""
    found = []
    for seed in range(N):
        adata = build_screen(seed, n_controls=100, n_cells=8)
        found.append(fold_statistics(measure(adata, roles_of(adata), screen_board), 0).moments)
    return found


def parts_of(moments: Moments, predict: Predict, seed: int) -> tuple[PerturbationUnit, ...]:
    rng, rows = np.random.default_rng([seed, 7]), moments.rows("test")
    said = {key_of(moments, row): predict(moments, row, rng) for row in rows}
    return unit_parts(moments, said, rows)


def means(screens: Sequence[Moments], metric: str, predict: Predict) -> list[float]:
    """The board's mean of every simulation."""
    found = []
    for seed, moments in enumerate(screens):
        values = [METRICS[metric].compute(p) for p in parts_of(moments, predict, seed)]
        found.append(float(np.mean(values)))
    return found


def control(moments: Moments, row: int, _rng: np.random.Generator) -> np.ndarray:
    return moments.control("control_input", str(moments.context[row]))


def noise(moments: Moments, row: int, rng: np.random.Generator) -> np.ndarray:
    """Control mean and a shift that knows nothing."""
    return control(moments, row, rng) + rng.normal(scale=0.3, size=len(moments.genes))


def same_for_all(moments: Moments, row: int, _rng: np.random.Generator) -> np.ndarray:
    """The mean of training perturbations."""
    return moments.training_mean(str(moments.context[row]))


def test_the_control_mean_has_a_log_ratio_of_exactly_zero(screens: list[Moments]) -> None:
    assert means(screens, "nwmse", control) == [0.0] * N


def test_the_control_mean_as_written_to_a_file_has_a_log_ratio_of_exactly_zero(
    screen_case: Case, screen_board: Board
) -> None:
    assert screen_case.queries is not None
    run = RunContext(seed=0, threads=1, max_epochs=None, log=lambda *_: None)
    table = MODELS["control_mean"].load().predict(screen_case.inputs, screen_case.queries, run)
    item = Evidence(
        fold=0, seed=0, prediction=table, truth=screen_case.truth, queries=screen_case.queries,
        moments=screen_case.moments, groups=screen_case.groups,
    )  # fmt: skip
    scores = score_board("control-mean", screen_board, [item], {}, metrics_of(screen_board.task))
    assert set(scores.loc[scores["metric"] == "nwmse", "value"]) == {0.0}
    assert set(scores.loc[scores["metric"] == "pds", "value"]) == {0.5}
    correlated = scores[scores["metric"] == "pearson_delta"]
    assert set(correlated["status"]) == {"undefined"}
    assert correlated["value"].isna().all()


def test_an_uninformed_shift_discriminates_at_a_half(screens: list[Moments]) -> None:
    within_three_errors([v - 0.5 for v in means(screens, "pds", noise)])


def test_one_profile_for_all_discriminates_at_exactly_a_half(screens: list[Moments]) -> None:
    """By symmetry: its ranks over the truths of a fold are those of any list."""
    assert means(screens, "pds", same_for_all) == pytest.approx([0.5] * N, abs=1e-12)


@pytest.mark.parametrize("metric", ["pearson_delta"])
def test_independent_noise_correlates_with_nothing(screens: list[Moments], metric: str) -> None:
    within_three_errors(means(screens, metric, noise))


def test_adding_up_the_measured_singles_leaves_exactly_the_synergy(
    screens: list[Moments],
) -> None:
    n = 0
    for moments in screens:
        for part in parts_of(moments, control, 0):
            if part.singles is None:
                with pytest.raises(UndefinedScoreError):
                    METRICS["synergy_error"].compute(part)
                continue
            key = (part.truth, part.singles - part.control_input)
            row = int(np.flatnonzero((moments.mean == key[0]).all(axis=1))[0])
            (added,) = unit_parts(moments, {key_of(moments, row): key[1]}, [row])
            assert METRICS["synergy_error"].compute(added) == pytest.approx(1.0, abs=1e-12)
            n += 1
    assert n == 2 * N


# The simulator's own truth

CELLS = 8
SIMULATED: dict[str, Any] = {
    "seed": 5, "genes": 100, "regulators": 20, "modules": 2, "library_median": 600,
    "library_sigma": 0.35, "dispersion_floor": 0.15, "dispersion_slope": 0.05, "singles": 4,
    "doubles": 1, "cells_per_condition": CELLS * N, "control_cells": 40, "clamp_log_fold": 2.0,
    "silent_fraction": 0.25, "weak_fraction": 0.25, "epistasis_fraction": 0.4,
    "epistasis_magnitude": 0.5, "donor_sd": 0.0, "batch_sd": 0.0,
}  # fmt: skip
"""Donors and batches have no effect, so that the cells of a condition are one sample."""


def test_the_true_mean_errs_by_the_variance_of_the_sample_mean(
    tmp_path: Path, screen_board: Board
) -> None:
    """Mean squared error of the noise-free profile: sum of s^2 / n over genes, over their number.

    One large screen is cut into 200 of 8 cells a condition, with the same controls.
    """
    source = SOURCES["sim_screen"]
    assert source.simulate is not None
    assert source.true_profiles is not None
    source.simulate(tmp_path, SIMULATED)
    whole = source.read(tmp_path)
    place = whole.obs.groupby(["perturbation", "cell_type"], observed=True).cumcount().to_numpy()
    is_control = (whole.obs["perturbation"] == CONTROL).to_numpy()
    singles = sorted({p for p in whole.obs["perturbation"].astype(str) if "+" not in p})
    is_test = whole.obs["perturbation"].isin(singles[::2]).to_numpy()
    half = np.where(place % 2 == 0, "control_input", "control_truth")
    role = np.where(is_control, half, np.where(is_test, "test", "train"))
    said: dict[tuple[str, str], np.ndarray] = {}
    gaps = []
    for number in range(N):
        cells = whole[is_control | (place // CELLS == number)].obs_names
        roles = pd.DataFrame({"cell_id": whole.obs_names, "fold": 0, "role": role})
        roles = roles[roles["cell_id"].isin(cells)]
        statistics = measure(whole[cells].copy(), roles, screen_board)
        moments = fold_statistics(statistics, 0).moments
        if not said:
            truth = source.true_profiles(tmp_path, "cell_type", statistics.target_sum)
            keys = zip(truth["perturbation"], truth["context"], strict=True)
            said = dict(zip(keys, truth[list(moments.genes)].to_numpy(), strict=True))
        parts = unit_parts(moments, said, moments.rows("test"))
        assert all(part.n == CELLS for part in parts)
        error = [METRICS["mse"].compute(p) - float(np.mean(p.variance / p.n)) for p in parts]
        gaps.append(float(np.mean(error)))
    within_three_errors(gaps)
