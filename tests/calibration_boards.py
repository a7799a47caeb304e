"""Boards of the calibration, drawn as its docstring says: scores with truths that are known."""

import math
from dataclasses import dataclass

import numpy as np

FOLD_SHARE = 0.3
"""Share of the fold's effect in an entry's variance between units, donors' own level aside."""
LEVELS = (0.0, 0.4, 0.8, 1.6)
"""True means, in standard deviations of a score between units."""


@dataclass(frozen=True, kw_only=True)
class Setting:
    """One row of the table."""

    n_units: int
    shape: str
    dependence: str

    @property
    def has_criteria(self) -> bool:
        """Whether units are symmetric."""
        return self.shape != "lognormal"


@dataclass(frozen=True, kw_only=True)
class Board:
    """Scores (entries x units), and the true means given the folds and over training sets."""

    scores: np.ndarray
    truth: np.ndarray
    over_folds: np.ndarray | None
    """Differs from ``truth`` by the mean of the folds' effects; None: not known."""


def draw(rng: np.random.Generator, shape: str, size: tuple[int, ...]) -> np.ndarray:
    """Return values of mean 0 and variance 1."""
    values = rng.normal(size=size)
    if shape == "heavy":
        values = rng.standard_t(3, size) / math.sqrt(3)
    elif shape == "lognormal":
        values = (np.exp(values) - math.exp(0.5)) / math.sqrt((math.e - 1) * math.e)
    return values


def folds_of(n_units: int) -> np.ndarray:
    """Return the fold of every unit: one a unit up to 8 units, else 5 folds."""
    return np.arange(n_units) % (n_units if n_units <= 8 else 5)


def simulate(rng: np.random.Generator, setting: Setting) -> Board:
    """Return one board."""
    n = int(rng.integers(5, 16))
    truth = rng.choice(LEVELS, size=n)
    make = _by_effects if setting.dependence == "effects" else _by_training
    return make(rng, setting, truth)


def _by_effects(rng: np.random.Generator, setting: Setting, truth: np.ndarray) -> Board:
    folds = folds_of(setting.n_units)
    level = draw(rng, setting.shape, (1, setting.n_units))
    noise = draw(rng, setting.shape, (len(truth), setting.n_units))
    effects = rng.normal(size=(len(truth), folds.max() + 1))[:, folds]
    shared = effects.mean(axis=1)
    within = np.sqrt(FOLD_SHARE) * effects + np.sqrt(1 - FOLD_SHARE) * noise
    shift = np.sqrt(FOLD_SHARE) * shared
    # With ties in what the folds' models are expected to score, not in what others would.
    scores = (truth - shift)[:, None] + level + within
    return Board(scores=scores, truth=truth, over_folds=truth - shift)


def _by_training(rng: np.random.Generator, setting: Setting, truth: np.ndarray) -> Board:
    folds = folds_of(setting.n_units)
    n_folds = folds.max() + 1
    x = draw(rng, setting.shape, (setting.n_units,))
    seen = x + rng.normal(size=(len(truth), setting.n_units))
    shrink = rng.uniform(0.5, 1.0, size=(len(truth), 1))
    models = np.stack([seen[:, folds != k].mean(axis=1) for k in range(n_folds)], axis=1) * shrink
    expected = 1 + (models[:, folds] ** 2).mean(axis=1, keepdims=True)
    error = (x - models[:, folds]) ** 2 - expected
    noise = draw(rng, setting.shape, (len(truth), setting.n_units))
    scores = truth[:, None] - error / 2 + noise
    return Board(scores=scores, truth=truth, over_folds=None)
