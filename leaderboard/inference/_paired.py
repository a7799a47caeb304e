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
    standard_errors,
    t_statistics,
    without_ties,
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


def difference(entry: Values, baseline: Values, name: str, *, higher_is_better: bool) -> Difference:
    """Compare two entries on the same units, in the same order."""
    return differences(entry, {name: baseline}, higher_is_better=higher_is_better)[0]


def differences(
    entry: Values,
    baselines: Mapping[str, Values],
    *,
    higher_is_better: bool,
    with_flips: bool = True,
    resampling: Resampling = ONCE,
) -> list[Difference]:
    """Compare an entry with each of several others on the same units, in the same order.

    Student's t up to 29 units, bootstrap-t with a symmetric interval from 30 on.

    Parameters
    ----------
    with_flips
        Whether to add the sign-flip p value, which costs the most and decides nothing.
    """
    if not baselines:
        return []
    others = np.stack(list(baselines.values()), axis=1)
    leads = (entry[:, None] - others) * (1.0 if higher_is_better else -1.0)
    leads = without_ties(leads, float(max(np.abs(entry).max(), np.abs(others).max())))
    n = len(entry)
    means = np.mean(leads, axis=0)
    if n < MIN_UNITS:
        return [_points(name, float(mean), n) for name, mean in zip(baselines, means, strict=True)]
    tests = _tests(leads, resampling)
    errors = standard_errors(leads)
    margins = tests.critical * errors
    return [
        Difference(
            baseline=name,
            estimate=Estimate(
                mean=float(means[k]),
                low=float(means[k] - margins[k]),
                high=float(means[k] + margins[k]),
                n=n,
                error=float(errors[k]),
            ),
            p_better=_at_least(float(tests.p_better[k]), leads[:, k]),
            p_worse=_at_least(float(tests.p_worse[k]), leads[:, k]),
            p_sign_flip=sign_flip_p(leads[:, k]) if with_flips else None,
        )
        for k, name in enumerate(baselines)
    ]


def _points(name: str, mean: float, n: int) -> Difference:
    found = Estimate(mean=mean, low=None, high=None, n=n)
    return Difference(baseline=name, estimate=found, p_better=None, p_worse=None, p_sign_flip=None)


@dataclass(frozen=True, kw_only=True)
class _Tests:
    """Of every column: the half width in standard errors, and both one-sided p values."""

    critical: Float[np.ndarray, " columns"]
    p_better: Float[np.ndarray, " columns"]
    p_worse: Float[np.ndarray, " columns"]


def _tests(leads: Float[np.ndarray, "units columns"], resampling: Resampling) -> _Tests:
    t = t_statistics(leads)
    if len(leads) < MANY_UNITS:
        df = len(leads) - 1
        return _Tests(
            critical=np.full(len(t), special.stdtrit(df, 1 - ALPHA / 2)),
            p_better=special.stdtr(df, -t),
            p_worse=special.stdtr(df, t),
        )
    sizes = np.sort(np.abs(bootstrap_t(leads, resampling)), axis=0)
    n = len(sizes)
    reaching = np.array([n - np.searchsorted(s, abs(x)) for s, x in zip(sizes.T, t, strict=True)])
    half = (1 + reaching) / (n + 1) / 2
    return _Tests(
        critical=sizes[n - int(ALPHA * (n + 1))].astype(np.float64),
        p_better=np.where(t > 0, half, 1 - half),
        p_worse=np.where(t < 0, half, 1 - half),
    )


def _at_least(p: float, lead: Values) -> float:
    """Return p; among exact ties no less than the flips of the units that differ can reach."""
    differing = np.count_nonzero(lead)
    return p if is_enough(lead[:, None])[0] else max(p, 0.5**differing)


def sign_flip_p(lead: Values) -> float:
    """Share of sign patterns with an absolute sum at least as large; exact up to 20 units.

    The smallest possible value is ``smallest_sign_flip_p``: with 5 units .0625, which can reach no
    5 % level.
    """
    observed = abs(float(np.sum(lead)))
    if len(lead) <= EXACT_FLIPS:
        sums = np.asarray(lead[:1])  # the patterns of the other sign have the same absolute sums
        for value in lead[1:]:
            sums = np.concatenate([sums + value, sums - value])
    else:
        sums = np.append(_signs(len(lead)) @ lead, observed)
    return float(np.mean(np.abs(sums) >= observed * (1 - 1e-12)))


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
