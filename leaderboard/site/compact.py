"""Entries by metrics in one table: values only, every missing one with its reason."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from leaderboard.site import text
from leaderboard.site.records import MetricText
from leaderboard.site.scale import NO_CEILING, Scale, numbers_of, scale_of
from leaderboard.site.tables import why_missing

POOLED = {"rare_recall": "found among all rare cells of all units"}
POOLED_NOTE = "a ratio over all units together, not a mean over units"
WHOLE_NOTE = "one value for the whole board"
OWN_GROUPS = (("model", "Models"), ("baseline", "Simple baselines"))
CONTROL_GROUPS = ((False, "Controls that test the scale"), (True, "Adversaries"))


@dataclass(frozen=True, kw_only=True)
class Column:
    """One metric of the table."""

    name: str
    label: str
    scale: Scale
    note: str
    """How its values come about where that is not a mean over units; blank if it is."""
    citation: str
    doubt: str = ""
    """Why this board does not trust the metric; blank if it does, or if it has no value here."""


@dataclass(frozen=True, kw_only=True)
class CompactCell:
    """One value."""

    value: str
    """Blank where there is none; then ``reason`` says why."""
    reason: str
    units: str
    """``5 of 8``: over how many units, where not over all."""
    interval: str
    """Only for metrics that may rank."""


@dataclass(frozen=True, kw_only=True)
class CompactRow:
    """One entry; its cells in the order of the columns."""

    entry: str
    name: str
    kind: str
    cells: tuple[CompactCell, ...]


@dataclass(frozen=True, kw_only=True)
class CompactTable:
    """Some entries on some metrics."""

    columns: tuple[Column, ...]
    groups: tuple[tuple[str, tuple[CompactRow, ...]], ...]
    gaps: tuple[tuple[str, str, str], ...]
    """Metric, why a value is missing, and whose; metrics without any value are only here."""


def build_also(
    standings: Mapping[str, Any], texts: Mapping[str, MetricText], metrics: Sequence[str]
) -> CompactTable | None:
    """Return models and baselines on metrics that never rank; None without such a metric."""
    rows = standings["rows"]
    groups = [(title, [r for r in rows if r["kind"] == kind]) for kind, title in OWN_GROUPS]
    return _build(standings, texts, metrics, groups)


def build_controls(
    standings: Mapping[str, Any], texts: Mapping[str, MetricText], metrics: Sequence[str]
) -> CompactTable | None:
    """Return controls and adversaries on all metrics; None if none ran."""
    rows = [r for r in standings["rows"] if r["kind"] == "control"]
    groups = [
        (title, [r for r in rows if r["is_adversary"] is is_adversary])
        for is_adversary, title in CONTROL_GROUPS
    ]
    return _build(standings, texts, metrics, groups)


def _build(
    standings: Mapping[str, Any],
    texts: Mapping[str, MetricText],
    metrics: Sequence[str],
    groups: Sequence[tuple[str, Sequence[Mapping[str, Any]]]],
) -> CompactTable | None:
    rows = [row for _, members in groups for row in members]
    if not rows or not metrics:
        return None
    shown = [m for m in metrics if any(not _why(row, m) for row in rows)]
    columns = tuple(_column(m, standings["metrics"][m], texts[m]) for m in shown)
    return CompactTable(
        columns=columns,
        groups=tuple(
            (title, tuple(_row(standings, texts, row, shown) for row in members))
            for title, members in groups
            if members and shown
        ),
        gaps=tuple(
            gap
            for m in metrics
            for gap in _gaps(texts[m].label, m, [r for r in rows if _is_asked(r, texts[m])])
        ),
    )


def _is_asked(row: Mapping[str, Any], metric: MetricText) -> bool:
    """Adversaries attack only metrics that may rank."""
    return metric.is_ranked or not row["is_adversary"]


def _column(name: str, metric: Mapping[str, Any], words: MetricText) -> Column:
    pooled = POOLED.get(name, POOLED_NOTE) if words.is_pooled else ""
    whole = WHOLE_NOTE if words.is_whole else ""
    has_value = metric["ceiling_kind"] != NO_CEILING
    return Column(
        name=name,
        label=metric["label"],
        scale=scale_of(metric),
        note="; ".join(filter(None, (metric["display_note"], pooled, whole))),
        citation=words.citation,
        doubt=metric["reason"] if has_value and not metric["trusted"] else "",
    )


def _row(
    standings: Mapping[str, Any],
    texts: Mapping[str, MetricText],
    row: Mapping[str, Any],
    shown: Sequence[str],
) -> CompactRow:
    cells = (_cell(row, m, standings["metrics"][m], is_ranked=texts[m].is_ranked) for m in shown)
    return CompactRow(entry=row["entry"], name=row["name"], kind=row["kind"], cells=tuple(cells))


def _cell(
    row: Mapping[str, Any], name: str, metric: Mapping[str, Any], *, is_ranked: bool
) -> CompactCell:
    reason = _why(row, name)
    if reason:
        return CompactCell(value="", reason=reason, units="", interval="")
    cell, numbers = row["metrics"][name], numbers_of(metric)
    n, of = cell["n"], len(metric["units"])
    return CompactCell(
        value=numbers.measure(cell["value"]),
        reason="",
        units=f"{n} of {of}" if n < of else "",
        interval=numbers.interval(cell, is_lead=False) if is_ranked else "",
    )


def _why(row: Mapping[str, Any], metric: str) -> str:
    """Say why an entry has no value of its own; blank if it has one.

    The value that ranking gives a failed entry is not its own.
    """
    cell = row["metrics"][metric]
    if row["status"] == "failed":
        return f"failed: {row['reason']}"
    return why_missing(row, cell) if cell["value"] is None else ""


def _partly(cell: Mapping[str, Any]) -> str:
    return f"undefined in some units: {cell['reason']}" if cell["reason"] else ""


def _gaps(
    label: str, metric: str, rows: Sequence[Mapping[str, Any]]
) -> Iterator[tuple[str, str, str]]:
    """Yield every reason for which values of a metric are missing, with the entries."""
    missing: dict[str, list[str]] = {}
    for row in rows:
        reason = _why(row, metric) or _partly(row["metrics"][metric])
        if reason:
            missing.setdefault(reason, []).append(str(row["name"]))
    for reason, names in sorted(missing.items()):
        everyone = len(names) == len(rows) > 1
        yield label, reason, "every entry here" if everyone else text.listing(names, 4)
