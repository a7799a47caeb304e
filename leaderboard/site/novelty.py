"""Which training perturbations come nearest to those of a test set, and by what."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from leaderboard.site import text

N_SHOWN = 10
ITSELF = "itself"
SHOWN = {
    "no": "no",
    "single": "as a single",
    "combination": "in a combination",
}


@dataclass(frozen=True, kw_only=True)
class Near:
    """The nearest training perturbation by one similarity."""

    name: str
    value: str
    """Blank, like the name, where nothing can be compared."""


@dataclass(frozen=True, kw_only=True)
class NoveltyRow:
    """One test perturbation in the fold where training comes nearest to it."""

    unit: str
    shown: str
    """How training shows its targets."""
    measured: str
    response: Near
    go: Near
    coexpression: Near
    target: Near


@dataclass(frozen=True, kw_only=True)
class NoveltyTable:
    """Test perturbations of a board, the farthest from training first."""

    rows: tuple[NoveltyRow, ...]
    n: int
    """Of all perturbations that are new to their fold."""

    @property
    def first(self) -> tuple[NoveltyRow, ...]:
        """The rows that a page shows at once."""
        return self.rows[:N_SHOWN]

    @property
    def rest(self) -> tuple[NoveltyRow, ...]:
        """The rows that a page folds away."""
        return self.rows[N_SHOWN:]


def build_novelty(rows: Sequence[Mapping[str, Any]], board: str) -> NoveltyTable | None:
    """Return the table of a board; None where training shows every perturbation itself."""
    nearest: dict[str, Mapping[str, Any]] = {}
    for row in sorted(rows, key=lambda r: (r["distance"], r["fold"])):
        if row["board"] == board and row["shown"] not in {"", ITSELF}:
            nearest.setdefault(row["unit"], row)
    if not nearest:
        return None
    order = sorted(nearest.values(), key=lambda r: (-r["distance"], r["unit"]))
    return NoveltyTable(rows=tuple(map(_row, order)), n=len(order))


def _row(row: Mapping[str, Any]) -> NoveltyRow:
    return NoveltyRow(
        unit=row["unit"],
        shown=SHOWN[row["shown"]],
        measured=f"{row['n_measured']} of {row['n_targets']}",
        response=Near(name=row["response"], value=text.number(row["distance"], 2)),
        go=_near(row, "go", "go_jaccard"),
        coexpression=_near(row, "coexpression", "coexpression_r"),
        target=_near(row, "target", "target_jaccard"),
    )


def _near(row: Mapping[str, Any], name: str, number: str) -> Near:
    value = row[number]
    return Near(name=row[name], value="" if value is None else text.number(value, 2))
