"""Rank sets: every rank of an entry that its units leave possible, jointly over a family."""

from collections.abc import Mapping
from typing import Literal

import numpy as np
from jaxtyping import Float, Int8
from scipy import special

from leaderboard.inference._paired import ALPHA, MANY_UNITS, MIN_UNITS
from leaderboard.inference._resampling import (
    ONCE,
    Resampling,
    bootstrap_t,
    flipped_t,
    is_enough,
    leads_of,
    step_down,
    t_statistics,
)

Table = Float[np.ndarray, "entries units"]
Method = Literal["bonferroni-t", "sign-flip max-T", "bootstrap max-T"]
Ranks = dict[str, tuple[int, int]]


def method_of(n_units: int) -> Method:
    """Return how ranks are compared with so many units."""
    return "bootstrap max-T" if n_units >= MANY_UNITS else "bonferroni-t"


def rank_sets(
    values: Mapping[str, Float[np.ndarray, " units"]],
    *,
    higher_is_better: bool,
    alpha: float = ALPHA,
    method: Method | None = None,
    resampling: Resampling = ONCE,
) -> Ranks:
    """Return the first and last rank that cannot be ruled out for each entry, jointly at 1 - alpha.

    Ranks after Mogstad, Romano, Shaikh & Wilhelm 2024 (doi:10.1093/restud/rdad006): an entry's
    best rank is one more than the number of entries that are surely better, its worst rank the
    number of entries less those that are surely worse.

    Parameters
    ----------
    values
        Entry to one value a unit, the same units in the same order.
    method
        What separates two entries; None: ``method_of`` the number of units.
    """
    names = sorted(values)
    if len(names) < 2:
        return dict.fromkeys(names, (1, 1))
    table = np.stack([values[name] for name in names]) * (1.0 if higher_is_better else -1.0)
    surely = separations(table, alpha, method or method_of(table.shape[1]), resampling)
    better, worse = (surely < 0).sum(axis=1), (surely > 0).sum(axis=1)
    return {name: (1 + int(better[k]), len(names) - int(worse[k])) for k, name in enumerate(names)}


def separations(
    table: Table, alpha: float, method: Method, resampling: Resampling = ONCE
) -> Int8[np.ndarray, "entries entries"]:
    """Return +1 where the row's entry is surely better than the column's, -1 where worse, else 0.

    All pairs together are wrong anywhere with probability alpha at most.
    """
    n_entries, n_units = table.shape
    surely = np.zeros((n_entries, n_entries), dtype=np.int8)
    if n_units < MIN_UNITS:
        return surely
    one, other = np.triu_indices(n_entries, k=1)
    leads = leads_of(table[one].T, table[other].T)
    found = np.zeros(len(one), dtype=np.int8)
    t = t_statistics(leads)
    may = is_enough(leads)
    if method == "bonferroni-t":
        critical = special.stdtrit(n_units - 1, 1 - alpha / (2 * len(one)))
        found[may & (np.abs(t) > critical)] = 1
        found = found * np.sign(t).astype(np.int8)
    elif may.any():
        found[may] = _by_resampling(leads[:, may], t[may], alpha, method, resampling)
    surely[one, other], surely[other, one] = found, -found
    return surely


def _by_resampling(
    leads: Float[np.ndarray, "units pairs"],
    t: Float[np.ndarray, " pairs"],
    alpha: float,
    method: Method,
    resampling: Resampling,
) -> Int8[np.ndarray, " pairs"]:
    if method == "sign-flip max-T":
        resampled = flipped_t(leads)
        # The first row is the unflipped one, in the rounding of all others.
        return step_down(resampled[0].astype(np.float64), resampled, int(alpha * len(resampled)))
    resampled = bootstrap_t(leads, resampling)
    return step_down(t, resampled, int(alpha * (resampling.n + 1)) - 1)
