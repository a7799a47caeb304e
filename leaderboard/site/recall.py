"""How well every cell type is found, by every entry: tables from a board's failure record."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from leaderboard.site import text

MIN_CELLS = 10
"""With fewer cells a recall is printed as counts."""
MAX_TABLES = 6
"""Rare types with a table of their own; the matrix has them all."""
FEW_UNITS = 5
NOT_HELD = "in no training cell of its fold"


@dataclass(frozen=True, kw_only=True)
class RecallCell:
    """One entry's recall of one type."""

    value: str
    """``.263``, or ``2 of 4`` where there are too few cells; blank without a cell."""
    interval: str
    counts: str
    units: str
    note: str
    """What is odd about the interval; blank if nothing is."""
    confused: tuple[str, ...]
    """``CD4 T cells: 38 cells (40 %)``, with the unit they come from where it is one alone."""
    baseline: str
    """Recall of the best simple baseline on this type, its own left out, and its name."""
    difference: str
    difference_interval: str


@dataclass(frozen=True, kw_only=True)
class LabelTable:
    """One rare type, entry by entry."""

    anchor: str
    label: str
    why: str
    cells: str
    n_units: int
    finding: str
    rows: tuple[tuple[str, str, str, RecallCell], ...]
    """Entry, name, kind and cell, the best first."""

    @property
    def has_few_units(self) -> bool:
        """Whether the interval rests on so few units that it is wide for that reason alone."""
        return self.n_units <= FEW_UNITS


@dataclass(frozen=True, kw_only=True)
class MatrixRow:
    """One type in the matrix of types by entries."""

    anchor: str
    """Of its own table; blank if it has none."""
    label: str
    cells: str
    why: str
    cells_by_entry: tuple[RecallCell | None, ...]
    words: str
    """Why nothing is judged; blank if something is."""


@dataclass(frozen=True, kw_only=True)
class RecallPanel:
    """All types of a board."""

    tables: tuple[LabelTable, ...]
    entries: tuple[tuple[str, str], ...]
    """Id and name of the columns of the matrix."""
    rows: tuple[MatrixRow, ...]
    n_rare: int


def build_recall(record: Mapping[str, Any], standings: Mapping[str, Any]) -> RecallPanel | None:
    """Return recall of all cell types; None on boards without any."""
    labels: Sequence[Mapping[str, Any]] = record.get("labels", ())
    if not labels:
        return None
    rows = [row for row in standings["rows"] if row["kind"] != "control"]
    unit = standings["board"]["unit"]
    anchors = _anchors([str(found["label"]) for found in labels])
    rare = [f for f in labels if f["rare"] and f["cells"] - f["unseen_cells"] >= MIN_CELLS]
    shown = [str(found["label"]) for found in rare[:MAX_TABLES]]
    return RecallPanel(
        tables=tuple(_table(f, anchors[f["label"]], rows, unit) for f in rare[:MAX_TABLES]),
        entries=tuple((row["entry"], row["name"]) for row in rows),
        rows=tuple(
            _matrix_row(f, anchors[f["label"]] if f["label"] in shown else "", rows, unit)
            for f in labels
        ),
        n_rare=sum(bool(found["rare"]) for found in labels),
    )


def _anchors(labels: Sequence[str]) -> dict[str, str]:
    """Return a place on the page for every label: its letters and digits, made unique."""
    found: dict[str, str] = {}
    for label in labels:
        stem = re.sub(r"[^a-z0-9]+", "-", label.lower()).strip("-") or "type"
        taken = set(found.values())
        name, k = f"recall-{stem}", 2
        while name in taken:
            name, k = f"recall-{stem}-{k}", k + 1
        found[label] = name
    return found


def _table(
    found: Mapping[str, Any], anchor: str, rows: Sequence[Mapping[str, Any]], unit: str
) -> LabelTable:
    own = [row for row in rows if row["entry"] in found["entries"]]
    own.sort(key=lambda row: (-found["entries"][row["entry"]]["recall"], row["entry"]))
    names = {row["entry"]: str(row["name"]) for row in rows}
    cells = [(r["entry"], names[r["entry"]], r["kind"], _cell(found, r, names, unit)) for r in own]
    n_units = max((r["units"] for r in found["entries"].values()), default=0)
    return LabelTable(
        anchor=anchor,
        label=str(found["label"]),
        why=found["rare"],
        cells=text.plural(found["cells"] - found["unseen_cells"], "cell"),
        n_units=n_units,
        finding=_finding(cells, f"{n_units} {text.unit_word(unit, n_units)}"),
        rows=tuple(cells),
    )


def _finding(cells: Sequence[tuple[str, str, str, RecallCell]], units: str) -> str:
    if not cells:
        return ""
    _, name, _, best = cells[0]
    interval = f" {best.interval}" if best.interval else ""
    return f"Best: {name}, recall {best.value}{interval}, {best.counts} in {units}."


def _matrix_row(
    found: Mapping[str, Any], anchor: str, rows: Sequence[Mapping[str, Any]], unit: str
) -> MatrixRow:
    names = {row["entry"]: str(row["name"]) for row in rows}
    judged = found["entries"]
    return MatrixRow(
        anchor=anchor,
        label=str(found["label"]),
        cells=text.count(found["cells"]),
        why=found["rare"],
        cells_by_entry=tuple(
            _cell(found, row, names, unit) if row["entry"] in judged else None for row in rows
        ),
        words="" if judged else NOT_HELD,
    )


def _cell(
    found: Mapping[str, Any], row: Mapping[str, Any], names: Mapping[str, str], unit: str
) -> RecallCell:
    own = found["entries"][row["entry"]]
    return cell_of(own, found, names, unit)


def cell_of(
    own: Mapping[str, Any], found: Mapping[str, Any], names: Mapping[str, str], unit: str
) -> RecallCell:
    """Return one recall in words.

    Parameters
    ----------
    own
        The record of one entry under ``found["entries"]``.
    found
        The record of the type.
    names
        Entry to its name.
    unit
        The ``obs`` column of the units.
    """
    counts = f"{text.count(own['found'])} of {text.count(own['cells'])}"
    is_told = own["cells"] >= MIN_CELLS
    best = own["baseline"]
    gap = own["difference"] if is_told else None
    return RecallCell(
        value=text.number(own["recall"]) if is_told else counts,
        interval=_interval(own),
        counts=counts,
        units=f"{own['units']} {text.unit_word(unit, own['units'])}",
        note=_note(own["reason"], unit),
        confused=tuple(_confused(c, unit) for c in own["confusions"]),
        baseline="" if best is None else _baseline(found["entries"][best], names.get(best, best)),
        difference=text.signed(gap["mean"]) if gap else "",
        difference_interval=_signed_interval(gap) if gap else "",
    )


def _note(reason: str, unit: str) -> str:
    """Name the units of the board."""
    return reason.replace("unit(s)", "units").replace("units", text.unit_word(unit, 2))


def _interval(own: Mapping[str, Any]) -> str:
    if own["low"] is None:
        return ""
    return text.bracket(text.number(own["low"]), text.number(own["high"]))


def _signed_interval(gap: Mapping[str, Any]) -> str:
    if gap["low"] is None:
        return "no interval"
    return text.bracket(text.signed(gap["low"]), text.signed(gap["high"]))


def _baseline(own: Mapping[str, Any], name: str) -> str:
    counts = f"{text.count(own['found'])} of {text.count(own['cells'])}"
    value = text.number(own["recall"]) if own["cells"] >= MIN_CELLS else counts
    return f"{value} ({name})"


def _confused(found: Mapping[str, Any], unit: str) -> str:
    """Say for what cells were taken; where more than half come from one unit, from which."""
    words = (
        f"{found['label']}: {text.plural(round(found['cells']), 'cell')} "
        f"({text.percent(found['share'])})"
    )
    if found["worst_unit_cells"] <= found["cells"] / 2 or found["cells"] < MIN_CELLS:
        return words
    of = f"{text.count(found['worst_unit_cells'])} of its {text.count(found['worst_unit_of'])}"
    return f"{words}, {of} in {text.unit_word(unit, 1)} {found['worst_unit']}"
