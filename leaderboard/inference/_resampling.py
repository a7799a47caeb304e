"""Studentised means of many columns at once, under bootstrapped units and under flipped signs.

A column holds the leads of one entry over another by unit. Every resample uses the same units for
all columns, so that their dependence is kept (Westfall & Young 1993; Romano & Wolf 2005,
doi:10.1198/016214504000000539).
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from jaxtyping import Bool, Float, Float32, Int8

N_RESAMPLES = 10_000
ALL_SIGNS = 13
"""Up to so many units every one of the 2^G patterns of signs is visited, beyond it 10,000 drawn."""
BLOCK = 2**19
"""Numbers held at once: 2 MB of float32 stay in the processor's cache."""
SMALLEST_VARIANCE = 1e-8
"""Of a resample, relative to the column's: below it float32 holds nothing but rounding."""
ROUNDING = 1e-5
"""Relative error of float32 statistics; what is larger by less is a tie."""
FEW_DIFFERING = 6
TIE = 1e-9
"""Relative to the largest score: score tables hold ten digits."""
Leads = Float[np.ndarray, "units columns"]
Statistics = Float32[np.ndarray, "resamples columns"]


@dataclass(frozen=True, kw_only=True)
class Resampling:
    """How many bootstrap resamples, from which seed."""

    n: int = N_RESAMPLES
    seed: int = 0


ONCE = Resampling()
"""The resamples of every board with the same number of units."""


def leads_of(one: Leads, other: Leads) -> Leads:
    """Return ``one`` - ``other``; what is a rounding error of a column's scores is an exact tie."""
    size = np.maximum(np.abs(one).max(axis=0), np.abs(other).max(axis=0))
    leads = one - other
    return np.where(np.abs(leads) <= TIE * size, 0.0, leads)


def is_enough(leads: Leads) -> Bool[np.ndarray, " columns"]:
    """Return whether enough units differ to tell two entries apart: all of them, or six.

    Fewer than six differing units among ties reach no 5 % by flipping their signs (2 / 2^5), and
    would spoil the resampled statistics of all other columns.
    """
    found: Bool[np.ndarray, " columns"] = np.count_nonzero(leads, axis=0) >= min(
        FEW_DIFFERING, len(leads)
    )
    return found


def t_statistics(leads: Leads) -> Float[np.ndarray, " columns"]:
    """Return mean over standard error; 0 where all leads are 0, infinite where they are equal."""
    mean, error = np.mean(leads, axis=0), standard_errors(leads)
    with np.errstate(divide="ignore", invalid="ignore"):
        found = mean / error
    return np.where(error > 0, found, np.where(mean == 0, 0.0, np.copysign(np.inf, mean)))


def standard_errors(leads: Leads) -> Float[np.ndarray, " columns"]:
    """Return the standard error of every mean; exactly 0 where leads differ by rounding only."""
    deviation = np.std(leads, axis=0, ddof=1)
    size = np.max(np.abs(leads), axis=0, initial=0.0)
    return np.where(deviation <= 1e-12 * size, 0.0, deviation) / math.sqrt(len(leads))


def bootstrap_t(leads: Leads, resampling: Resampling = ONCE) -> Statistics:
    """Return the studentised error of the mean in every bootstrap resample of units.

    Parameters
    ----------
    leads
        At least two units; a column without variance gives zeros.

    Notes
    -----
    Bootstrap-t of Hall 1988 (doi:10.1214/aos/1176350933): T* = (mean* - mean) / se*, where se* is
    that of the resample. A resample of one repeated value has no variance: its T* is huge.
    """
    n, columns = leads.shape
    centred = leads - np.mean(leads, axis=0)
    scale = np.sqrt(np.mean(centred**2, axis=0)) * (standard_errors(leads) > 0)
    z = _columns_over(centred, scale)
    squares = z**2
    found = np.empty((resampling.n, columns), dtype=np.float32)
    for rows, shares in _blocks(bootstrap_shares(n, resampling), columns):
        found[rows] = _studentised(shares @ z, shares @ squares, n)
    return found


def flipped_t(leads: Leads, seed: int = 0) -> Statistics:
    """Return the t statistic of every column after the signs of units are flipped.

    All columns of a unit are flipped together: exact where the leads of truly equal entries are
    symmetric about zero, whatever their distribution. The first row is the unflipped one.
    """
    n, columns = leads.shape
    z = _columns_over(leads, np.sqrt(np.mean(leads**2, axis=0)))
    shares = sign_shares(n, seed)
    found = np.empty((len(shares), columns), dtype=np.float32)
    one = np.ones((1, columns), dtype=np.float32)
    for rows, block in _blocks(shares, columns):
        found[rows] = _studentised(block @ z, np.broadcast_to(one, (len(block), columns)), n)
    return found


def _columns_over(values: Leads, scale: Float[np.ndarray, " columns"]) -> Statistics:
    """Divide every column by its scale, so that float32 holds it; zeros where the scale is zero."""
    divided = np.divide(values, scale, out=np.zeros_like(values), where=scale > 0)
    found: Statistics = divided.astype(np.float32)
    return found


def _studentised(mean: Statistics, square: Statistics, n: int) -> Statistics:
    """Return mean * sqrt(n - 1) / sqrt(square - mean^2)."""
    found: Statistics = np.maximum(square - mean**2, np.float32(SMALLEST_VARIANCE))
    np.sqrt(found, out=found)
    np.divide(mean * np.float32(math.sqrt(n - 1)), found, out=found)
    return found


def _blocks(rows: Statistics, columns: int) -> Iterator[tuple[slice, Statistics]]:
    """Cut rows into blocks whose statistics are small, whatever the number of columns."""
    height = max(1, BLOCK // max(1, columns))
    for start in range(0, len(rows), height):
        yield slice(start, start + height), rows[start : start + height]


@lru_cache(maxsize=8)
def bootstrap_shares(n: int, resampling: Resampling) -> Float32[np.ndarray, "resamples units"]:
    """Return the share of every unit in every resample of ``n`` units with replacement."""
    drawn = np.random.default_rng(resampling.seed).integers(n, size=(resampling.n, n))
    flat = drawn + n * np.arange(resampling.n)[:, None]
    counts = np.bincount(flat.ravel(), minlength=n * resampling.n).reshape(resampling.n, n)
    shares: Statistics = counts.astype(np.float32) / np.float32(n)
    return shares


@lru_cache(maxsize=8)
def sign_shares(n: int, seed: int = 0) -> Float32[np.ndarray, "patterns units"]:
    """Return +1/n or -1/n by unit: all patterns up to 13 units, else 10,000; the first all plus."""
    if n <= ALL_SIGNS:
        bits = np.arange(2**n)[:, None] >> np.arange(n) & 1
        signs = 1 - 2 * bits
    else:
        signs = np.random.default_rng(seed).choice([-1, 1], size=(N_RESAMPLES, n))
        signs[0] = 1
    shares: Statistics = signs.astype(np.float32) / np.float32(n)
    return shares


def step_down(
    t: Float[np.ndarray, " columns"], resampled: Statistics, n_exceeding: int
) -> Int8[np.ndarray, " columns"]:
    """Return +1 or -1 where a column's mean is surely above or below zero, else 0.

    Step-down of Romano & Wolf 2005 over the one-sided claims of both directions, as in Mogstad,
    Romano, Shaikh & Wilhelm 2024 (doi:10.1093/restud/rdad006): a claim that stands leaves the
    family, its opposite stays in it.

    Parameters
    ----------
    n_exceeding
        Number of resamples whose maximum may reach the critical value: a share of about alpha.
    """
    sign = np.sign(t)
    sure = np.zeros(len(t), dtype=bool)
    while True:
        worst = _largest(resampled, sign, sure)
        critical = np.partition(worst, -(n_exceeding + 1))[-(n_exceeding + 1)]
        found = sure | (np.abs(t) > critical * (1 + ROUNDING))
        if found.sum() == sure.sum():
            return np.where(sure, sign, 0).astype(np.int8)
        sure = found


def _largest(
    resampled: Statistics, sign: Float[np.ndarray, " columns"], sure: Bool[np.ndarray, " columns"]
) -> Float32[np.ndarray, " resamples"]:
    """Return the largest statistic over the claims that are left, by resample."""
    left = np.zeros(len(resampled), dtype=np.float32)
    for rows, block in _blocks(resampled, resampled.shape[1]):
        both = np.abs(block)
        both[:, sure] = block[:, sure] * -sign[sure].astype(np.float32)
        left[rows] = both.max(axis=1, initial=0.0)
    return left
