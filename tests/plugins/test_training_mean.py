"""The training mean says how far a new perturbation will be from it, and is right about that."""

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from scipy import stats

from leaderboard.models import MODELS
from leaderboard.models.training_mean import TrainingMean, stated_errors
from tests.plugins._asking import run_of

N_CELLS, N_GENES, TARGET = 40, 60, 1000.0


def screen(n_perturbations: int, spread: float, seed: int = 0) -> tuple[AnnData, np.ndarray]:
    """Perturbations whose log expression differs by N(0, spread), and their noise-free means."""
    rng = np.random.default_rng(seed)
    base = rng.normal(2.5, 0.3, N_GENES)
    rate = np.exp(base + rng.normal(0, spread, (n_perturbations, N_GENES)))
    counts = rng.poisson(np.repeat(rate, N_CELLS, axis=0)).astype(np.float32)
    many = rng.poisson(rate[:, None, :], (n_perturbations, 800, N_GENES))
    true = np.log1p(many / 1500.0 * TARGET).mean(axis=1)
    names = np.repeat([f"P{k:03d}" for k in range(n_perturbations)], N_CELLS)
    obs = pd.DataFrame({"perturbation": names, "context": "c", "role": "train"})
    obs["size_factor"] = 1500.0
    obs.index = obs.index.astype(str)
    adata = AnnData(counts, obs=obs, var=pd.DataFrame(index=[f"G{k}" for k in range(N_GENES)]))
    adata.uns = {"target_sum": TARGET, "size_factor": "panel", "cells": 0}
    return adata, true


@pytest.mark.parametrize("spread", [0.15, 0.4])
def test_ninety_percent_of_new_perturbations_lie_in_the_stated_interval(spread: float) -> None:
    adata, true = screen(60, spread)
    is_new = np.repeat(np.arange(60) >= 30, N_CELLS)
    training = adata[~is_new].copy()
    error = stated_errors(training)["c"]
    queries = pd.DataFrame({"perturbation": [f"P{k:03d}" for k in range(30, 60)], "context": "c"})
    table = TrainingMean().predict(training, queries, run_of(MODELS["training_mean"], None))
    genes = list(adata.var_names)
    mean = table[table["statistic"] == "mean"][genes].to_numpy(dtype=np.float64)
    z = (true[30:] - mean) / np.sqrt(error)
    covered = np.mean(np.abs(z) <= stats.norm.ppf(0.95))
    assert covered == pytest.approx(0.9, abs=0.03)
    stated = table[table["statistic"] == "mean_variance"][genes].to_numpy(dtype=np.float64)
    np.testing.assert_allclose(stated, np.tile(error, (30, 1)), rtol=1e-5)


def test_where_noise_hides_the_differences_measured_means_are_still_covered() -> None:
    """Differences of a tenth of the noise: what the metric asks, with the noise of the truth."""
    adata, _ = screen(60, 0.004, seed=1)
    is_new = np.repeat(np.arange(60) >= 30, N_CELLS)
    training, new = adata[~is_new].copy(), adata[is_new]
    values = np.log1p(np.asarray(new.X, dtype=np.float64) / 1500.0 * TARGET)
    cells = values.reshape(30, N_CELLS, N_GENES)
    queries = pd.DataFrame({"perturbation": ["x"], "context": "c"})
    table = TrainingMean().predict(training, queries, run_of(MODELS["training_mean"], None))
    mean, error = table[list(adata.var_names)].to_numpy(dtype=np.float64)
    noise = cells.var(axis=1, ddof=1) / N_CELLS
    z = (cells.mean(axis=1) - mean) / np.sqrt(error + noise)
    assert np.mean(np.abs(z) <= stats.norm.ppf(0.95)) == pytest.approx(0.9, abs=0.03)


def test_a_context_with_one_perturbation_has_no_stated_error() -> None:
    adata, _ = screen(3, 0.1)
    adata.obs["context"] = np.where(adata.obs["perturbation"] == "P000", "alone", "c")
    assert set(stated_errors(adata)) == {"c"}
    queries = pd.DataFrame({"perturbation": ["x", "x"], "context": ["alone", "c"]})
    table = TrainingMean().predict(adata, queries, run_of(MODELS["training_mean"], None))
    rows = table[["context", "statistic"]].to_numpy().tolist()
    assert rows == [["alone", "mean"], ["c", "mean"], ["c", "mean_variance"]]
