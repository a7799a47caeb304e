"""Paired comparisons over units: a unit is a donor, a batch or a perturbation, never a cell."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from jaxtyping import Float
from scipy import special

ALPHA = 0.05
MIN_UNITS = 3
"""With fewer units points are printed, without an interval."""
EXACT_FLIPS = 20
N_FLIPS = 10_000
Values = Float[np.ndarray, " units"]


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """A mean over units with its t interval; no limits where there are too few units."""

    mean: float
    low: float | None
    high: float | None
    n: int


@dataclass(frozen=True, kw_only=True)
class Difference:
    """Entry minus baseline, paired by unit and turned so that more is better for the entry."""

    baseline: str
    estimate: Estimate
    p_better: float | None
    """One-sided paired t: the probability of such a lead if there is none."""
    p_worse: float | None
    p_sign_flip: float | None
    """Two-sided, exact up to 20 units; needs no distribution."""


def estimate(values: Values, alpha: float = ALPHA) -> Estimate:
    """Return the mean and its two-sided t interval."""
    n = len(values)
    mean = float(np.mean(values)) if n else math.nan
    if n < MIN_UNITS:
        return Estimate(mean=mean, low=None, high=None, n=n)
    margin = float(special.stdtrit(n - 1, 1 - alpha / 2)) * _standard_error(values)
    return Estimate(mean=mean, low=mean - margin, high=mean + margin, n=n)


def ratio_estimate(values: Values, counts: Values, alpha: float = ALPHA) -> Estimate:
    """Return the mean weighted by ``counts``: a ratio pooled over units, with its t interval.

    The standard error is that of the linearised ratio over units (Cochran 1977, section 2.11).
    """
    n, total = len(values), float(np.sum(counts))
    mean = float(np.sum(counts * values) / total) if total > 0 else math.nan
    if n < MIN_UNITS or not total > 0:
        return Estimate(mean=mean, low=None, high=None, n=n)
    residual = counts * (values - mean) * n / total
    margin = float(special.stdtrit(n - 1, 1 - alpha / 2)) * _standard_error(residual)
    return Estimate(mean=mean, low=mean - margin, high=mean + margin, n=n)


def difference(entry: Values, baseline: Values, name: str, *, higher_is_better: bool) -> Difference:
    """Compare two entries on the same units, in the same order."""
    lead = (entry - baseline) * (1.0 if higher_is_better else -1.0)
    found = estimate(lead)
    if len(lead) < MIN_UNITS:
        return Difference(
            baseline=name, estimate=found, p_better=None, p_worse=None, p_sign_flip=None
        )
    p_better = one_sided_p(lead)
    return Difference(
        baseline=name,
        estimate=found,
        p_better=p_better,
        p_worse=one_sided_p(-lead),
        p_sign_flip=sign_flip_p(lead),
    )


def one_sided_p(lead: Values) -> float:
    """Paired t: probability of a mean lead as large as this one if the true lead is zero."""
    error, mean = _standard_error(lead), float(np.mean(lead))
    if error == 0:
        return 0.0 if mean > 0 else 1.0
    return float(special.stdtr(len(lead) - 1, -mean / error))


def sign_flip_p(lead: Values) -> float:
    """Share of sign patterns with an absolute sum at least as large; exact up to 20 units.

    The smallest possible value is 2 / 2^n: with 5 units .0625, which can reach no 5 % level.
    """
    observed = abs(float(np.sum(lead)))
    if len(lead) <= EXACT_FLIPS:
        sums = np.asarray(lead[:1])  # the patterns of the other sign have the same absolute sums
        for value in lead[1:]:
            sums = np.concatenate([sums + value, sums - value])
    else:
        sums = np.append(_signs(len(lead)) @ lead, observed)
    return float(np.mean(np.abs(sums) >= observed * (1 - 1e-12)))


@lru_cache(maxsize=2)
def _signs(n: int) -> Float[np.ndarray, "flips units"]:
    return np.random.default_rng(0).choice([-1.0, 1.0], size=(N_FLIPS, n))


def holm(p: Mapping[str, float]) -> dict[str, float]:
    """Return Holm-adjusted p values."""
    adjusted: dict[str, float] = {}
    running = 0.0
    for k, name in enumerate(sorted(p, key=lambda key: (p[key], key))):
        running = max(running, min(1.0, (len(p) - k) * p[name]))
        adjusted[name] = running
    return adjusted


def rank_sets(
    values: Mapping[str, Values], *, higher_is_better: bool, alpha: float = ALPHA
) -> dict[str, tuple[int, int]]:
    """Return the first and last rank that cannot be ruled out for each entry, jointly at 1 - alpha.

    Bonferroni paired t over all pairs; ranks after Mogstad, Romano, Shaikh & Wilhelm 2024
    (doi:10.1093/restud/rdad006): an entry's best rank is one more than the number of entries that
    are surely better, its worst rank the number of entries less those that are surely worse.
    """
    names = sorted(values)
    p = len(names)
    if p < 2:
        return dict.fromkeys(names, (1, 1))
    level = alpha / (p * (p - 1) / 2)
    better = dict.fromkeys(names, 0)
    worse = dict.fromkeys(names, 0)
    for i, one in enumerate(names):
        for other in names[i + 1 :]:
            lead = estimate((values[one] - values[other]) * (1 if higher_is_better else -1), level)
            if lead.low is None or lead.high is None:
                continue
            up, down = (one, other) if lead.low > 0 else (other, one)
            if lead.low > 0 or lead.high < 0:
                better[down] += 1
                worse[up] += 1
    return {name: (1 + better[name], p - worse[name]) for name in names}


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
