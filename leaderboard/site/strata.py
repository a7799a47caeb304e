"""Parts of a board's test set as a table, and which of its units carry signal at all."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from leaderboard.audit._similarity import FAR, NEAR
from leaderboard.inference.strata import OUTSIDE
from leaderboard.site import text
from leaderboard.site.compact import OWN_GROUPS
from leaderboard.site.scale import numbers_of

LABELS = {
    "combo_seen2": "pairs, both singles seen in training",
    "combo_seen1": "pairs, one single seen in training",
    "combo_seen0": "pairs, no single seen in training",
    "unseen_single": "singles, unseen in training",
    "novelty_near": "a training perturbation acts alike "
    f"(cosine distance < {text.number(NEAR, 2)})",
    "novelty_middle": "a training perturbation acts partly alike "
    f"({text.number(NEAR, 2)} to {text.number(FAR, 2)})",
    "novelty_far": "no training perturbation acts alike "
    f"(cosine distance \N{GREATER-THAN OR EQUAL TO} {text.number(FAR, 2)})",
    "weak": "units with a weak signal: not ranked",
    "noise": "units that carry no signal: not ranked",
}
"""What each stratum holds, from the easiest to those outside the ranking."""
CLASSES = (
    ("responders", "responds, ranks"),
    ("weak", "weak signal, not ranked"),
    ("noise", "no signal, not ranked"),
)


@dataclass(frozen=True, kw_only=True)
class Stratum:
    """One column."""

    label: str
    n: int
    """Number of (fold, unit) pairs."""
    ranks: bool


@dataclass(frozen=True, kw_only=True)
class StratumCell:
    """A mean over a stratum; blank without a value."""

    value: str
    n: str
    """``5 of 8``, where an entry has a value in some of the pairs only."""


@dataclass(frozen=True, kw_only=True)
class StrataTable:
    """Entries by strata, on the metric that sorts the board."""

    label: str
    columns: tuple[Stratum, ...]
    groups: tuple[tuple[str, tuple[tuple[str, str, str, tuple[StratumCell, ...]], ...]], ...]
    """Title and rows: entry, its name, its kind, its cells."""

    @property
    def has_outside(self) -> bool:
        """Whether a column holds units that do not rank."""
        return not all(column.ranks for column in self.columns)


@dataclass(frozen=True, kw_only=True)
class Signal:
    """Which units of a perturbation board respond, and how sure that is."""

    responders: int
    weak: int
    noise: int
    rows: tuple[tuple[str, str, str, str], ...]
    """Unit, split-half correlation of its effect, class, distance to training; strongest first."""

    @property
    def n(self) -> int:
        """Number of units."""
        return self.responders + self.weak + self.noise


def build_strata(standings: Mapping[str, Any]) -> StrataTable | None:
    """Return the strata of the metric that sorts the board; None where it has none."""
    metric, sizes = standings["sorted_by"], standings["strata"]
    if not sizes or metric is None:
        return None
    order = list(LABELS)
    names = sorted(sizes, key=lambda s: (order.index(s) if s in order else len(order), s))
    rows = [r for r in standings["rows"] if r["metrics"][metric].get("strata")]
    groups = []
    for kind, title in OWN_GROUPS:
        members = [r for r in rows if r["kind"] == kind]
        if members:
            groups.append((title, tuple(_row(standings, r, metric, names) for r in members)))
    return StrataTable(
        label=standings["metrics"][metric]["label"],
        columns=tuple(
            Stratum(label=label_of(name), n=sizes[name], ranks=name not in OUTSIDE)
            for name in names
        ),
        groups=tuple(groups),
    )


def label_of(stratum: str) -> str:
    """Say what a stratum holds."""
    return LABELS.get(stratum, stratum.replace("_", " "))


def _row(
    standings: Mapping[str, Any], row: Mapping[str, Any], metric: str, names: list[str]
) -> tuple[str, str, str, tuple[StratumCell, ...]]:
    numbers = numbers_of(standings["metrics"][metric])
    found = row["metrics"][metric]["strata"]
    cells = []
    for name in names:
        if name not in found:
            cells.append(StratumCell(value="", n=""))
            continue
        n, of = found[name]["n"], standings["strata"][name]
        part = f"{n} of {of}" if n < of else ""
        cells.append(StratumCell(value=numbers.measure(found[name]["value"]), n=part))
    return str(row["entry"]), str(row["name"]), str(row["kind"]), tuple(cells)


def build_signal(constants: Mapping[str, Any]) -> Signal | None:
    """Return the unit gate of a perturbation board; None on boards without one."""
    if "responders" not in constants:
        return None
    words = {str(unit): label for key, label in CLASSES for unit in constants[key]}
    r: Mapping[str, float] = constants["reliability"]
    rows = tuple(
        (unit, text.number(r[unit], 2), words.get(unit, "not judged"), _distance(constants, unit))
        for unit in sorted(r, key=lambda u: (-r[u], u))
    )
    return Signal(
        responders=len(constants["responders"]),
        weak=len(constants["weak"]),
        noise=len(constants["noise"]),
        rows=rows,
    )


def _distance(constants: Mapping[str, Any], unit: str) -> str:
    """Write a unit's distance to training; the nearest and farthest where folds differ."""
    folds: Mapping[str, Mapping[str, float]] = constants.get("novelty", {})
    found = sorted(by_unit[unit] for by_unit in folds.values() if unit in by_unit)
    ends = dict.fromkeys(text.number(d, 2) for d in (*found[:1], *found[-1:]))
    return " to ".join(ends) or "unknown"
