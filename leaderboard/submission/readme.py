"""The table of boards in README, from standings: no number of it is typed."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from leaderboard.config import read_params
from leaderboard.errors import TableError
from leaderboard.io import write_text
from leaderboard.metrics import METRICS
from leaderboard.site.text import unit_word
from leaderboard.submission.summary import read_standings

BEGIN, END = "<!-- heldout boards -->", "<!-- end of heldout boards -->"
HEADER = (
    "| board | units | state | best simple baseline (on the metric that sorts the board) "
    "| best model |\n|---|---|---|---|---|"
)
REASON_LENGTH = 100


def board_table() -> str:
    """Return the table of every board with standings, in Markdown, as params.yaml orders them."""
    found = {standings["board"]["id"]: standings for standings in read_standings()}
    ids = [board for board in read_params().all_boards() if board in found]
    return "\n".join([HEADER, *(_row(found[board]) for board in ids)])


def update_readme(path: Path) -> bool:
    """Put the table between the two marks of a file; return whether that changed it.

    Raises
    ------
    TableError
        If the file does not hold both marks, each once and in order.
    """
    text = path.read_text(encoding="utf-8")
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end) or BEGIN in rest or END in after:
        raise TableError(f"{path}: expected the lines {BEGIN} and {END} once each, in this order.")
    new = f"{before}{BEGIN}\n{board_table()}\n{END}{after}"
    if new != text:
        write_text(path, new)
    return new != text


def _row(standings: dict[str, Any]) -> str:
    metric = standings["sorted_by"]
    shown = f" (`{metric}`)" if metric else ""
    cells = [
        f"`{standings['board']['id']}`",
        _units(standings),
        _state(standings),
        f"{_best(standings, 'baseline')}{shown}",
        _best(standings, "model"),
    ]
    return f"| {' | '.join(cells)} |"


def _units(standings: dict[str, Any]) -> str:
    constants, unit = standings["constants"], standings["board"]["unit"]
    if "responders" in constants:
        kinds = [len(constants[kind]) for kind in ("responders", "weak", "noise")]
        return f"{kinds[0]} of {sum(kinds)} {unit_word(unit, sum(kinds))} respond"
    metric = standings["metrics"].get(standings["sorted_by"])
    n = len(metric["units"]) if metric else 0
    return f"{n} {unit_word(unit, n)}" if metric else ""


def _state(standings: dict[str, Any]) -> str:
    if standings["ranked"]:
        ranking = [f"`{name}`" for name, m in standings["metrics"].items() if m["ranks"]]
        return f"ranks by {', '.join(ranking)}"
    return f"not ranked: {_short(standings['reasons'])}"


def _short(reasons: Sequence[str]) -> str:
    reason = reasons[0] if reasons else ""
    if len(reason) <= REASON_LENGTH:
        return reason
    return f"{reason[:REASON_LENGTH].rpartition(' ')[0]} ..."


def _best(standings: dict[str, Any], kind: str) -> str:
    """Return name and value of the best complete entry of a kind, on the metric that sorts.

    Entries that the audit refuses are passed over.
    """
    metric = standings["sorted_by"]
    found = {
        row["name"]: row["metrics"][metric]["value"]
        for row in standings["rows"]
        if metric and row["kind"] == kind and row["status"] == "complete"
        if row["metrics"][metric].get("value") is not None
        and row["metrics"][metric]["coverage"] == 1
        if not any(flag["severity"] == "error" for flag in row.get("flags", ()))
    }
    if not found:
        return "none"
    sign = 1 if METRICS[metric].higher_is_better else -1
    name = max(found, key=lambda n: sign * found[n])
    return f"{name} {METRICS[metric].display(found[name]):.3f}"
