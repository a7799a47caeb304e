"""Genes that an entry sends the wrong way, counted over the units of a perturbation board."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy import special

from leaderboard.spec import WHOLE, PerturbationUnit

SURE = 3.0
"""True shifts this many standard errors from zero have a direction."""
MIN_UNITS = 5
"""Of fewer units even five wrong out of five would pass for chance."""
N_GENES = 60
"""Rows of one board and seed, at most, those with the smallest p."""
POOLED = -1
"""The fold of rows that all folds share."""

Unit = Sequence[tuple[tuple[str, ...], PerturbationUnit]]
"""The parts of one unit, over contexts and folds, each with the names of its genes."""


@dataclass(frozen=True, kw_only=True)
class Shifts:
    """True and predicted shifts of one unit, means over its parts; NaN where a part lacks one."""

    true: Float[np.ndarray, " genes"]
    error: Float[np.ndarray, " genes"]
    """Standard error of the true shift, that of the scored controls included."""
    predicted: Float[np.ndarray, " genes"]

    @property
    def moves(self) -> Bool[np.ndarray, " genes"]:
        """Whether the gene surely moves and the entry gives a direction."""
        sure = (self.error > 0) & (np.abs(self.true) > SURE * self.error)
        found: Bool[np.ndarray, " genes"] = sure & (np.abs(self.predicted) > 0)
        return found

    @property
    def is_wrong(self) -> Bool[np.ndarray, " genes"]:
        """Whether both directions are there and differ."""
        found: Bool[np.ndarray, " genes"] = self.moves & (self.true * self.predicted < 0)
        return found


def shifts_of(unit: Unit, genes: Mapping[str, int]) -> Shifts:
    """Return the shifts of one unit over the genes of the board, in log1p units.

    Truth and prediction are set against different control cells, as in the metrics.
    """
    shape = (len(unit), len(genes))
    true, square, said = np.full(shape, np.nan), np.full(shape, np.nan), np.full(shape, np.nan)
    for row, (names, part) in enumerate(unit):
        at = [genes[name] for name in names]
        true[row, at] = part.truth - part.control_truth
        square[row, at] = part.variance / part.n + part.control_variance / part.n_control
        said[row, at] = part.predicted - part.control_input
    return Shifts(
        true=true.mean(axis=0),
        error=np.sqrt(square.sum(axis=0)) / len(unit),
        predicted=said.mean(axis=0),
    )


def direction_rows(units: Iterable[Unit], seed: int) -> Iterator[tuple[Any, ...]]:
    """Yield the genes that are wrong in more than half of the units, the surest first.

    Every unit has one vote a gene. A last row says how many genes have enough votes: what a
    correction for many tests needs.
    """
    units = list(units)
    names = sorted({name for unit in units for parts, _ in unit for name in parts})
    place = {name: k for k, name in enumerate(names)}
    wrong, n = np.zeros(len(names), dtype=int), np.zeros(len(names), dtype=int)
    for unit in units:
        shifts = shifts_of(unit, place)
        wrong += shifts.is_wrong
        n += shifts.moves
    at = (POOLED, seed, "direction", WHOLE)
    for position, gene in enumerate(_worst(wrong, n)):
        share = wrong[gene] / n[gene]
        yield (*at, names[gene], position, "wrong direction", share, int(n[gene]))
    if units:
        yield (*at, WHOLE, 0, "genes tested", int((n >= MIN_UNITS).sum()), len(units))


def _worst(wrong: Int[np.ndarray, " genes"], n: Int[np.ndarray, " genes"]) -> list[int]:
    """Return the genes with the smallest one-sided sign test p; of equals the more often wrong."""
    chosen = np.flatnonzero((n >= MIN_UNITS) & (2 * wrong > n))
    p = special.bdtrc(wrong[chosen] - 1.0, n[chosen], 0.5)
    order = np.lexsort((chosen, -wrong[chosen] / n[chosen], p))
    return list(map(int, chosen[order][:N_GENES]))
