"""How the numbers of one metric are written: as they are stored, or as exp of stored logs."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from leaderboard.site import text

NO_CEILING = "none"
"""The ``ceiling_kind`` of a metric without one on a board."""


@dataclass(frozen=True, kw_only=True)
class Numbers:
    """The way of one metric."""

    is_log: bool

    def value(self, stored: float) -> str:
        """Write a score."""
        return text.error_ratio(stored) if self.is_log else text.number(stored)

    def measure(self, stored: float) -> str:
        """Write a score of any size, as metrics in units of expression need it."""
        return text.error_ratio(stored) if self.is_log else text.measure(stored)

    def lead(self, stored: float) -> str:
        """Write a difference, turned so that more is better: log units become a factor."""
        return text.fold_change(stored) if self.is_log else text.signed(stored)

    def interval(self, found: Mapping[str, Any], *, is_lead: bool) -> str:
        """Write an interval; blank if there is none."""
        if found["low"] is None or found["high"] is None:
            return ""
        write = self.lead if is_lead else self.value
        return text.bracket(write(found["low"]), write(found["high"]))


def numbers_of(metric: Mapping[str, Any]) -> Numbers:
    """Return how a metric of the standings is written."""
    return Numbers(is_log=metric["display"] == "exp")


@dataclass(frozen=True, kw_only=True)
class Scale:
    """What stands at both ends of a metric on a board, in words."""

    direction: str
    """``higher is better`` or ``lower is better``."""
    floor: str
    ceiling: str
    """``none`` where the board has no ceiling."""
    interval: str
    """Of the ceiling; blank where it is exact."""
    kind: str
    """What the ceiling is computed from."""


def scale_of(metric: Mapping[str, Any]) -> Scale:
    """Return floor and ceiling of a metric of the standings."""
    numbers = numbers_of(metric)
    has_ceiling = metric["ceiling_kind"] != NO_CEILING
    limits = {"low": metric["ceiling_low"], "high": metric["ceiling_high"]}
    is_exact = limits["low"] == limits["high"]
    return Scale(
        direction=f"{'higher' if metric['higher_is_better'] else 'lower'} is better",
        floor=numbers.measure(metric["floor"]),
        ceiling=numbers.measure(metric["ceiling"]) if has_ceiling else NO_CEILING,
        interval="" if is_exact else numbers.interval(limits, is_lead=False),
        kind=metric["ceiling_kind"],
    )
