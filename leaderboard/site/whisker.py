"""Geometry of the one scale that is drawn everywhere: floor, baselines, room, ceiling, beyond."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

WIDTH = 264
LEFT, RIGHT = 24.0, 236.0
"""Where floor and ceiling stand."""
EDGE = 5.0
DOT_GAP = 5.0
DOT_LEVELS = 3
MAX_DOTS = 29
"""From 30 units on dots would hide each other."""


@dataclass(frozen=True, kw_only=True)
class Axis:
    """The constants of a metric on a board, in the units in which values are stored."""

    floor: float
    ceiling: float
    baselines: tuple[float, ...]
    """Means of the declared baselines."""
    best_baseline: float | None

    def x(self, value: float) -> float:
        """Return the horizontal position of a stored value, floor to ceiling from left to right."""
        share = (value - self.floor) / (self.ceiling - self.floor)
        return LEFT + share * (RIGHT - LEFT)

    def clipped(self, value: float) -> float:
        """Return the position inside the frame."""
        return min(max(self.x(value), EDGE), WIDTH - EDGE)


@dataclass(frozen=True, kw_only=True)
class Drawing:
    """Coordinates of one row, as text."""

    guides: tuple[str, ...]
    band: tuple[str, str] | None
    """Left end and width of the room between best declared baseline and ceiling."""
    line: tuple[str, str] | None
    mean: str
    leaves: str
    """``left`` or ``right`` if the mean lies outside the frame."""
    dots: tuple[tuple[str, str], ...]


def build_axis(metric: Mapping[str, Any], baselines: Sequence[float]) -> Axis | None:
    """Return the axis of a metric; None where floor and ceiling do not span a scale."""
    floor, ceiling = metric["floor"], metric["ceiling"]
    if floor == ceiling or (ceiling > floor) != metric["higher_is_better"]:
        return None
    best = max if metric["higher_is_better"] else min
    return Axis(
        floor=floor,
        ceiling=ceiling,
        baselines=tuple(baselines),
        best_baseline=best(baselines) if baselines else None,
    )


def draw(axis: Axis, cell: Mapping[str, Any]) -> Drawing:
    """Return the drawing of one entry's cell of the standings."""
    at = axis.x(cell["value"])
    return Drawing(
        guides=tuple(_text(axis.clipped(b)) for b in axis.baselines),
        band=_band(axis),
        line=_line(axis, cell),
        mean=_text(axis.clipped(cell["value"])),
        leaves="left" if at < EDGE else "right" if at > WIDTH - EDGE else "",
        dots=_dots(axis, list(cell["units"].values())),
    )


def _band(axis: Axis) -> tuple[str, str] | None:
    if axis.best_baseline is None:
        return None
    start = axis.clipped(axis.best_baseline)
    return (_text(start), _text(RIGHT - start)) if start < RIGHT else None


def _line(axis: Axis, cell: Mapping[str, Any]) -> tuple[str, str] | None:
    if cell["low"] is None or cell["high"] is None:
        return None
    ends = sorted((axis.clipped(cell["low"]), axis.clipped(cell["high"])))
    return _text(ends[0]), _text(ends[1])


def _dots(axis: Axis, values: Sequence[float]) -> tuple[tuple[str, str], ...]:
    """Stack dots that would touch; from 30 units on there are none."""
    if len(values) > MAX_DOTS:
        return ()
    dots: list[tuple[str, str]] = []
    last = [-2 * DOT_GAP] * DOT_LEVELS
    for x in sorted(axis.clipped(v) for v in values):
        free = [k for k, before in enumerate(last) if x - before >= DOT_GAP]
        level = free[0] if free else DOT_LEVELS - 1
        last[level] = x
        dots.append((_text(x), _text(9 + DOT_GAP * level)))
    return tuple(dots)


def _text(x: float) -> str:
    return f"{x:.1f}"
