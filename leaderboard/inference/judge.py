"""Differences, verdicts and rank sets of one metric, from nothing but values by unit.

Everything inferential goes through ``judge``: standings call it, and so does the calibration.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from jaxtyping import Float

from leaderboard.inference._paired import (
    ALPHA,
    EXACT_FLIPS,
    MANY_UNITS,
    MIN_UNITS,
    Difference,
    differences,
    holm,
    smallest_sign_flip_p,
    verdict,
)
from leaderboard.inference._ranks import Ranks, method_of, rank_sets
from leaderboard.inference._resampling import N_RESAMPLES, ONCE, Resampling

SMALL = 5
"""Up to so many units a rank is resolved only where something is separated."""
Values = Float[np.ndarray, " units"]


@dataclass(frozen=True, kw_only=True)
class Roles:
    """Who is judged, against whom, and who is ranked."""

    judged: Sequence[str]
    declared: Sequence[str]
    """The baselines that a verdict is judged against."""
    family: Sequence[str]


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Differences, verdicts and rank sets of one metric."""

    differences: Mapping[str, list[Difference]] = field(default_factory=dict)
    verdicts: Mapping[str, str] = field(default_factory=dict)
    p_all: Mapping[str, float] = field(default_factory=dict)
    """Largest one-sided p over the declared baselines: of *better than every one of them*."""
    p_holm: Mapping[str, float] = field(default_factory=dict)
    """The same after Holm over the judged entries."""
    ranks: Ranks = field(default_factory=dict)
    check: Ranks = field(default_factory=dict)
    """Rank sets by sign-flip max-T, from 6 units on: are they the same?"""


def judge(
    values: Mapping[str, Values],
    roles: Roles,
    *,
    higher_is_better: bool,
    with_checks: bool = True,
    resampling: Resampling = ONCE,
) -> Comparison:
    """Compare entries that have a value in every unit.

    Parameters
    ----------
    values
        Entry to its values, the same units in the same order.
    with_checks
        Whether to add what decides nothing: sign-flip p values and the second rank sets.
    """
    found = differences(
        values,
        roles.declared,
        higher_is_better=higher_is_better,
        with_flips=with_checks,
        resampling=resampling,
    )
    p_all = {
        name: max(d.p_better for d in found[name] if d.p_better is not None)
        for name in roles.judged
        if any(d.p_better is not None for d in found[name])
    }
    p_holm = holm(p_all)
    family = {name: values[name] for name in roles.family}
    n_units = len(next(iter(values.values()), ()))
    ranks = check = {}
    if n_units >= MIN_UNITS:
        ranks = rank_sets(family, higher_is_better=higher_is_better, resampling=resampling)
    if with_checks and n_units > SMALL:
        check = rank_sets(family, higher_is_better=higher_is_better, method="sign-flip max-T")
    return Comparison(
        differences=found,
        verdicts={name: verdict(found[name], p_holm.get(name)) for name in found},
        p_all=p_all,
        p_holm=p_holm,
        ranks=ranks,
        check=check,
    )


def policy(n_units: int) -> str:
    """Say what is printed for a number of units, and by which method.

    Perturbations of a board share its controls and its batches, and regulators share all cells, so
    no cluster of units exists that could be resampled instead of the unit.
    """
    if n_units < MIN_UNITS:
        return f"points only, no interval: {n_units} unit(s)"
    if n_units <= SMALL:
        return (
            f"{n_units} units: t intervals, {n_units - 1} degrees of freedom; a rank is resolved "
            "only where Bonferroni paired t separates, and sign flips cannot fall below "
            f"p = {smallest_sign_flip_p(n_units):.4g}"
        )
    if n_units < MANY_UNITS:
        return (
            f"{n_units} units: paired t verdicts, Bonferroni-t rank sets, sign-flip max-T as "
            "their check"
        )
    return (
        f"{n_units} units: bootstrap-t verdicts and max-T rank sets with Romano-Wolf step-down, "
        f" {N_RESAMPLES:,} resamples of units, each its own cluster; sign-flip max-T as the "
        "check of the rank sets"
    )


def statistics_of(n_units: int) -> dict[str, Any]:
    """Return what the intervals, tests and ranks of a metric with so many units are."""
    has_tests = n_units >= MIN_UNITS
    test = "bootstrap-t" if n_units >= MANY_UNITS else "paired t"
    flips = "every pattern" if n_units <= EXACT_FLIPS else f"{N_RESAMPLES:,} patterns drawn"
    return {
        "units": n_units,
        "value_interval": "descriptive: t over units; folds share training units",
        "difference_interval": f"inferential, given these folds and seeds: {test} over units",
        "level": 1 - ALPHA,
        "test": test if has_tests else "none",
        "verdict": "intersection-union of one-sided tests, Holm over the judged entries",
        "rank_sets": method_of(n_units) if has_tests else "none",
        "check": "sign-flip max-T" if n_units > SMALL else "none",
        "sign_flips": flips if has_tests else "none",
        "smallest_sign_flip_p": smallest_sign_flip_p(n_units) if has_tests else None,
        "cluster": "the unit",
    }
