"""Paired comparisons over units: a unit is a donor, a batch or a perturbation, never a cell."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from jaxtyping import Float
from scipy import special

from leaderboard.inference._resampling import (
    N_RESAMPLES,
    ONCE,
    Resampling,
    bootstrap_t,
    is_enough,
    leads_of,
    standard_errors,
    t_statistics,
)

ALPHA = 0.05
MIN_UNITS = 3
"""With fewer units points are printed, without an interval."""
MANY_UNITS = 30
"""From here on the t distribution gives way to the bootstrap's."""
EXACT_FLIPS = 20
Values = Float[np.ndarray, " units"]


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """A mean over units with its t interval; no limits where there are too few units."""

    mean: float
    low: float | None
    high: float | None
    n: int
    error: float | None = None
    """Standard error between units."""


@dataclass(frozen=True, kw_only=True)
class Difference:
    """Entry minus baseline, paired by unit and turned so that more is better for the entry."""

    baseline: str
    estimate: Estimate
    p_better: float | None
    """One-sided: the probability of such a lead if there is none."""
    p_worse: float | None
    p_sign_flip: float | None
    """Two-sided, exact up to 20 units; needs no distribution."""


def estimate(values: Values, alpha: float = ALPHA) -> Estimate:
    """Return the mean and its two-sided t interval."""
    n = len(values)
    mean = float(np.mean(values)) if n else math.nan
    if n < MIN_UNITS:
        return Estimate(mean=mean, low=None, high=None, n=n)
    return _t_interval(mean, _standard_error(values), n, alpha)


def ratio_estimate(values: Values, counts: Values, alpha: float = ALPHA) -> Estimate:
    """Return the mean weighted by ``counts``: a ratio pooled over units, with its t interval.

    The standard error is that of the linearised ratio over units (Cochran 1977, section 2.11).
    """
    n, total = len(values), float(np.sum(counts))
    mean = float(np.sum(counts * values) / total) if total > 0 else math.nan
    if n < MIN_UNITS or not total > 0:
        return Estimate(mean=mean, low=None, high=None, n=n)
    residual = counts * (values - mean) * n / total
    return _t_interval(mean, _standard_error(residual), n, alpha)


def _t_interval(mean: float, error: float, n: int, alpha: float) -> Estimate:
    margin = float(special.stdtrit(n - 1, 1 - alpha / 2)) * error
    return Estimate(mean=mean, low=mean - margin, high=mean + margin, n=n, error=error)


def differences(
    values: Mapping[str, Values],
    baselines: Sequence[str],
    *,
    higher_is_better: bool,
    with_flips: bool = True,
    resampling: Resampling = ONCE,
) -> dict[str, list[Difference]]:
    """Compare every entry with every baseline but itself, on the same units in the same order.

    Student's t up to 29 units, bootstrap-t with a symmetric interval from 30 on.

    Parameters
    ----------
    values
        Entry to its values; the baselines are among them.
    with_flips
        Whether to add the sign-flip p value, which costs the most and decides nothing.
    """
    found: dict[str, list[Difference]] = {name: [] for name in values}
    pairs = [(name, b) for name in values for b in baselines if b != name]
    if not pairs:
        return found
    own, others = (np.stack([values[p[k]] for p in pairs], axis=1) for k in (0, 1))
    leads = leads_of(own, others) if higher_is_better else leads_of(others, own)
    tests = _tests(leads, resampling) if len(leads) >= MIN_UNITS else None
    flips = sign_flip_p(leads) if with_flips and tests else None
    for k, (name, b) in enumerate(pairs):
        found[name].append(_difference(b, leads[:, k], tests, flips, k))
    return found


def _difference(
    baseline: str, lead: Values, tests: "_Tests | None", flips: Values | None, k: int
) -> Difference:
    mean, n = float(np.mean(lead)), len(lead)
    if tests is None:
        points = Estimate(mean=mean, low=None, high=None, n=n)
        return Difference(
            baseline=baseline, estimate=points, p_better=None, p_worse=None, p_sign_flip=None
        )
    error = float(tests.error[k])
    margin = float(tests.critical[k]) * error
    return Difference(
        baseline=baseline,
        estimate=Estimate(mean=mean, low=mean - margin, high=mean + margin, n=n, error=error),
        p_better=float(tests.p_better[k]),
        p_worse=float(tests.p_worse[k]),
        p_sign_flip=None if flips is None else float(flips[k]),
    )


@dataclass(frozen=True, kw_only=True)
class _Tests:
    """Of every column: standard error, half width in standard errors, one-sided p values."""

    error: Float[np.ndarray, " columns"]
    critical: Float[np.ndarray, " columns"]
    p_better: Float[np.ndarray, " columns"]
    p_worse: Float[np.ndarray, " columns"]


def _tests(leads: Float[np.ndarray, "units columns"], resampling: Resampling) -> _Tests:
    """Test every column; ties keep p no smaller than flips of the units that differ can reach."""
    n, t = len(leads), t_statistics(leads)
    if n < MANY_UNITS:
        critical = np.full(len(t), special.stdtrit(n - 1, 1 - ALPHA / 2))
        p_better, p_worse = special.stdtr(n - 1, -t), special.stdtr(n - 1, t)
    else:
        critical, half = _bootstrapped(np.abs(t), bootstrap_t(leads, resampling))
        p_better, p_worse = np.where(t > 0, half, 1 - half), np.where(t < 0, half, 1 - half)
    least = np.where(is_enough(leads), 0.0, 0.5 ** np.count_nonzero(leads, axis=0))
    return _Tests(
        error=standard_errors(leads),
        critical=critical,
        p_better=np.maximum(p_better, least),
        p_worse=np.maximum(p_worse, least),
    )


def _bootstrapped(
    sizes: Float[np.ndarray, " columns"], resampled: Float[np.ndarray, "resamples columns"]
) -> tuple[Float[np.ndarray, " columns"], Float[np.ndarray, " columns"]]:
    """Return critical values and one-sided p values of absolute t statistics."""
    n = len(resampled)
    found = np.abs(resampled.T)
    reaching = (found >= sizes[:, None]).sum(axis=1)
    allowed = int(ALPHA * (n + 1))
    critical = np.partition(found, n - allowed, axis=1)[:, n - allowed]
    return critical.astype(np.float64), (1 + reaching) / (n + 1) / 2


def sign_flip_p(leads: Float[np.ndarray, "units columns"]) -> Float[np.ndarray, " columns"]:
    """Return the share of sign patterns with an absolute sum at least as large, by column.

    Exact up to 20 units. The smallest possible value is ``smallest_sign_flip_p``: with 5 units
    .0625, which can reach no 5 % level.
    """
    if len(leads) <= EXACT_FLIPS:
        return np.array([_exact_flip_p(column) for column in leads.T])
    observed = np.abs(leads.sum(axis=0)) * (1 - 1e-12)
    reaching = (np.abs(_signs(len(leads)) @ leads) >= observed).sum(axis=0)
    shares: Float[np.ndarray, " columns"] = (1 + reaching) / (N_RESAMPLES + 1)
    return shares


def _exact_flip_p(lead: Values) -> float:
    sums = lead[:1]  # the patterns of the other sign have the same absolute sums
    for value in lead[1:]:
        sums = np.concatenate([sums + value, sums - value])
    return float(np.mean(np.abs(sums) >= abs(float(np.sum(lead))) * (1 - 1e-12)))


def smallest_sign_flip_p(n_units: int) -> float:
    """Return the smallest two-sided p value that flipping the signs of so many units can reach."""
    return 2.0 ** (1 - n_units) if n_units <= EXACT_FLIPS else 1 / (N_RESAMPLES + 1)


@lru_cache(maxsize=2)
def _signs(n: int) -> Float[np.ndarray, "flips units"]:
    return np.random.default_rng(0).choice([-1.0, 1.0], size=(N_RESAMPLES, n))


def holm(p: Mapping[str, float]) -> dict[str, float]:
    """Return Holm-adjusted p values."""
    adjusted: dict[str, float] = {}
    running = 0.0
    for k, name in enumerate(sorted(p, key=lambda key: (p[key], key))):
        running = max(running, min(1.0, (len(p) - k) * p[name]))
        adjusted[name] = running
    return adjusted


def verdict(differences: Sequence[Difference], adjusted_p: float | None) -> str:
    """Say whether an entry beats every simple baseline: ``yes``, ``no`` or ``cannot tell``.

    Intersection-union: the largest one-sided p over the pre-declared baselines, adjusted by Holm
    over the eligible entries. ``no`` means significantly below one of them.
    """
    if adjusted_p is None or not differences:
        return "not judged"
    if adjusted_p <= ALPHA:
        return "yes"
    below = [d.p_worse for d in differences if d.p_worse is not None]
    return "no" if below and min(below) * len(below) <= ALPHA else "cannot tell"


def _standard_error(values: Values) -> float:
    return float(np.std(values, ddof=1) / math.sqrt(len(values)))
