"""A predictor that knows the noise-free truth scores at the frozen ceiling, above all that do not.

On a small screen of the simulator, with the donor and batch effects of the large one.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from leaderboard.cases import draw
from leaderboard.datasets import SOURCES
from leaderboard.errors import UndefinedScoreError
from leaderboard.metrics import METRICS
from leaderboard.score import metrics_of
from leaderboard.spec import Board, FoldRule
from leaderboard.tasks import TASKS
from leaderboard.tasks._moments import Moments
from leaderboard.tasks._perturbation import Key, key_of, unit_parts
from leaderboard.tasks._statistics import fold_statistics, measure

pytestmark = pytest.mark.slow

RANKED = [m.name for m in METRICS.values() if m.is_ranked and "perturbation_prediction" in m.tasks]
KNOBS: dict[str, Any] = {
    "genes": 300, "regulators": 40, "modules": 4, "library_median": 1200, "library_sigma": 0.35,
    "dispersion_floor": 0.15, "dispersion_slope": 0.05, "singles": 30, "doubles": 2,
    "cells_per_condition": 50, "control_cells": 240, "clamp_log_fold": 2.0,
    "silent_fraction": 0.1, "weak_fraction": 0.15, "epistasis_fraction": 0.4,
    "epistasis_magnitude": 0.5, "donor_sd": 0.2, "batch_sd": 0.15,
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Simulated:
    """A board, what is frozen about it, and the noise-free profiles behind it."""

    frozen: dict[str, Any]
    folds: list[Moments]
    truth: dict[Key, dict[str, float]]

    def predicted(self, who: str, moments: Moments, row: int) -> np.ndarray:
        context = str(moments.context[row])
        if who == "oracle":
            profile = self.truth[key_of(moments, row)]
            return np.array([profile[gene] for gene in moments.genes])
        if who == "training mean":
            return moments.training_mean(context)
        return moments.control("control_input", context)

    def score(self, metric: str, who: str) -> float:
        """Mean over the responders in which the metric has a value."""
        values = []
        for moments in self.folds:
            for unit, rows in moments.units().items():
                if unit not in self.frozen["responders"]:
                    continue
                said = {key_of(moments, r): self.predicted(who, moments, r) for r in rows}
                values.append(mean_of(metric, unit_parts(moments, said, rows)))
        known = [v for v in values if np.isfinite(v)]
        return float(np.mean(known)) if known else np.nan


def mean_of(metric: str, parts: Any) -> float:
    values = []
    for part in parts:
        try:
            values.append(METRICS[metric].compute(part))
        except UndefinedScoreError:
            continue
    return float(np.mean(values)) if values else np.nan


@pytest.fixture(scope="module", params=[1, 2], ids=lambda seed: f"seed {seed}")
def simulated(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    rule: FoldRule,
    screen_board: Board,
) -> Simulated:
    source, folder = SOURCES["sim_screen"], tmp_path_factory.mktemp("screen")
    assert source.simulate is not None
    assert source.true_profiles is not None
    source.simulate(folder, {**KNOBS, "seed": request.param})
    adata = source.read(folder)
    roles = draw(adata.obs, screen_board, rule)[0]
    task = screen_board.task
    frozen = TASKS[task].freeze(adata, roles, screen_board, metrics_of(task))
    truth = source.true_profiles(folder, "cell_type", frozen["target_sum"])
    keys = zip(truth.pop("perturbation"), truth.pop("context"), strict=True)
    statistics = measure(adata, roles, screen_board)
    folds = range(statistics.role.shape[1])
    return Simulated(
        frozen=frozen,
        folds=[fold_statistics(statistics, k).moments for k in folds],
        truth=dict(zip(keys, truth.to_dict("records"), strict=True)),  # type: ignore[arg-type]
    )


@pytest.mark.parametrize("metric", RANKED)
def test_the_oracle_scores_at_the_ceiling_within_its_interval(
    simulated: Simulated, metric: str
) -> None:
    """Half a percent of the scale is left for discrimination, whose interval ends near 1."""
    constants = simulated.frozen["metrics"][metric]
    slack = 0.005 * abs(constants["ceiling"] - constants["floor"])
    found = simulated.score(metric, "oracle")
    assert constants["ceiling_low"] - slack <= found <= constants["ceiling_high"] + slack


@pytest.mark.parametrize("metric", RANKED)
def test_the_oracle_is_far_above_every_simple_mean_and_the_floor(
    simulated: Simulated, metric: str
) -> None:
    constants = simulated.frozen["metrics"][metric]
    span = constants["ceiling"] - constants["floor"]
    assert constants["trusted"], constants["reason"]
    for who in ("control mean", "training mean"):
        scaled = (simulated.score(metric, who) - constants["floor"]) / span
        assert not scaled > 0.6
    assert (simulated.score(metric, "oracle") - constants["floor"]) / span > 0.95


@pytest.mark.parametrize("metric", ["wmse", "mse", "mae", "r2_delta_weighted"])
def test_the_oracle_is_near_the_ceiling_of_metrics_that_are_only_shown(
    simulated: Simulated, metric: str
) -> None:
    constants = simulated.frozen["metrics"][metric]
    span = constants["ceiling"] - constants["floor"]
    scaled = (simulated.score(metric, "oracle") - constants["floor"]) / span
    assert scaled == pytest.approx(1.0, abs=0.05)
    assert simulated.score(metric, "control mean") == pytest.approx(constants["floor"], rel=1e-9)


def test_most_planted_effects_respond(simulated: Simulated) -> None:
    responders = simulated.frozen["responders"]
    assert 0.6 * KNOBS["singles"] <= len(responders) <= 0.9 * KNOBS["singles"]
