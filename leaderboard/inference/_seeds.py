"""Uncertainty over units and seeds together, where there are enough seeds to say."""

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy import special

ALPHA = 0.05
MIN_SEEDS = 5


@dataclass(frozen=True, kw_only=True)
class OverSeeds:
    """An interval for a mean over units and seeds, and what it is made of."""

    mean: float
    low: float
    high: float
    df: float
    """Satterthwaite's."""
    n_seeds: int
    unit_sd: float
    """Between units, free of seeds; 0 where seeds alone explain as much."""
    seed_sd: float
    """Between seeds, free of units."""


def over_seeds(table: Float[np.ndarray, "units seeds"], alpha: float = ALPHA) -> OverSeeds | None:
    """Return the interval for units and seeds that were both drawn; None below 5 seeds or 3 units.

    Var = s2_unit / G + s2_seed / S + s2_unit*seed / (G S) from a two-way analysis of variance
    without replicates; degrees of freedom after Satterthwaite 1946 (doi:10.2307/3002019). A
    component that comes out negative is 0.
    """
    n_units, n_seeds = table.shape
    if n_seeds < MIN_SEEDS or n_units < 3 or not np.isfinite(table).all():
        return None
    mean = float(table.mean())
    by_unit, by_seed = table.mean(axis=1), table.mean(axis=0)
    unit = n_seeds * float(by_unit.var(ddof=1))
    seed = n_units * float(by_seed.var(ddof=1))
    rest = table - by_unit[:, None] - by_seed[None, :] + mean
    mixed = float((rest**2).sum()) / ((n_units - 1) * (n_seeds - 1))
    variance, df = _variance((unit, seed, mixed), n_units, n_seeds)
    margin = float(special.stdtrit(df, 1 - alpha / 2)) * math.sqrt(variance)
    return OverSeeds(
        mean=mean,
        low=mean - margin,
        high=mean + margin,
        df=df,
        n_seeds=n_seeds,
        unit_sd=math.sqrt(max(unit - mixed, 0.0) / n_seeds),
        seed_sd=math.sqrt(max(seed - mixed, 0.0) / n_units),
    )


def _variance(
    squares: tuple[float, float, float], n_units: int, n_seeds: int
) -> tuple[float, float]:
    """Return variance of the mean and its degrees of freedom from the three mean squares."""
    unit, seed, mixed = squares
    weights = (float(unit > mixed), float(seed > mixed), 0.0)
    # (s2_unit S + s2_seed G + s2_mixed) with s2 from mean squares; a dropped part leaves `mixed`.
    weights = (*weights[:2], 1.0 - weights[0] - weights[1])
    freedom = (n_units - 1, n_seeds - 1, (n_units - 1) * (n_seeds - 1))
    total = sum(w * s for w, s in zip(weights, squares, strict=True))
    spread = sum((w * s) ** 2 / f for w, s, f in zip(weights, squares, freedom, strict=True))
    df = total**2 / spread if spread > 0 else float(min(freedom))
    return total / (n_units * n_seeds), df
