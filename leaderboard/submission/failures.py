"""How well every entry finds one cell type in units that it never saw, as a table."""

from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.table import Table

from leaderboard import layout
from leaderboard.errors import TableError
from leaderboard.inference._recall import MIN_CELLS
from leaderboard.inference.failures import labels_of
from leaderboard.io import read_json


def print_label(board: str, label: str) -> None:
    """Print recall with interval, support and first confusion of every entry, the best first.

    Raises
    ------
    TableError
        If there are no standings of the board, or the board has no such cell type.
    """
    path = layout.FAILURES / f"{board}.json"
    if not path.is_file():
        known = sorted(p.stem for p in layout.FAILURES.glob("*.json"))
        raise TableError(
            f"{path}: no failures of this board. Known: {', '.join(known) or 'none'}. "
            "Run `dvc repro rank` if it has scores; boards of cells dealt at random have none."
        )
    record = labels_of(read_json(path), label)
    table = Table(
        "entry", "recall", "95 % by unit", "found", "units", "most often called",
        "over the best baseline", title=f"{label} on {board}",
    )  # fmt: skip
    rows = sorted(record["entries"].items(), key=lambda item: (-(item[1]["recall"] or 0), item[0]))
    for name, found in rows:
        table.add_row(
            name,
            f"{found['recall']:.3f}" if found["cells"] >= MIN_CELLS else "counts only",
            "; ".join(filter(None, (_interval(found), found["reason"]))),
            f"{found['found']:.0f} of {found['cells']:.0f}",
            str(found["units"]),
            _confusion(found),
            _difference(found),
        )
    Console(width=150).print(table)


def _interval(found: Mapping[str, Any]) -> str:
    return "" if found["low"] is None else f"{found['low']:.3f} to {found['high']:.3f}"


def _confusion(found: Mapping[str, Any]) -> str:
    if not found["confusions"]:
        return "never wrong"
    first = found["confusions"][0]
    return f"{first['label']} ({first['cells']:.0f} cells)"


def _difference(found: Mapping[str, Any]) -> str:
    gap = found["difference"]
    if gap is None:
        return ""
    interval = _interval(gap)
    return f"{gap['mean']:+.3f} ({interval or 'no interval'}) over {found['baseline']}"
