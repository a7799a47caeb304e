"""Where an entry fails on a board, chosen by rule from its failure table."""

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from leaderboard.site import text

MAX_CONFUSIONS = 8
MAX_ERRORS = 5
MAX_UNITS = 3
MAX_GENES = 8
MAX_PROTEINS = 8
MAX_TYPES = 8
EDGES = {"false_edge": "not in the truth", "missed_edge": "true, ranked low"}
MIN_CELLS = 10
"""Types with fewer have no error printed."""
NOT_RUN = "not run"

Rows = Sequence[Mapping[str, Any]]


@dataclass(frozen=True, kw_only=True)
class Confusion:
    """Cells of one type taken for another."""

    label: str
    predicted: str
    share: str
    cells: str


@dataclass(frozen=True, kw_only=True)
class HardUnit:
    """One of the worst units, with the genes that truly move most in it."""

    unit: str
    score: str
    cells: str
    genes: tuple[tuple[str, str, str], ...]
    """Gene, true shift, predicted shift."""


@dataclass(frozen=True, kw_only=True)
class Weak:
    """A protein that is predicted badly, or a cell type whose proteins are."""

    name: str
    value: str
    baseline: str
    """The same of the declared baseline; *not run* if it has none."""
    size: str
    """Units of a protein's mean, or cells of a type."""


@dataclass(frozen=True, kw_only=True)
class HardRegulator:
    """One of the regulators with the worst score, and its worst edges."""

    unit: str
    score: str
    edges: tuple[tuple[str, str, str, str], ...]
    """What is wrong, target, weight, place among the candidates."""


@dataclass(frozen=True, kw_only=True)
class Failures:
    """All failure lists of one entry on one board; a list may be empty."""

    confusions: tuple[Confusion, ...]
    hard_units: tuple[HardUnit, ...]
    confident: tuple[tuple[str, str, str, str], ...]
    """Stated confidence, true type, predicted type, unit."""
    calibration: tuple[tuple[str, str, str, str], ...]
    """Bin, mean stated confidence, share correct, cells."""
    proteins: tuple[Weak, ...] = ()
    types: tuple[Weak, ...] = ()
    regulators: tuple[HardRegulator, ...] = ()
    unmixed: tuple[tuple[str, str, str, str], ...] = ()
    """Cell type, batch, mean ciLISI and cells, of the types whose batches stay most apart."""
    genes: tuple[tuple[str, str, str, str], ...] = ()
    """Gene, what is true, place among its fold and fold, of those furthest on the wrong side."""

    @property
    def any(self) -> bool:
        """Whether there is anything to show."""
        lists = (self.confusions, self.hard_units, self.confident, self.calibration)
        named = (self.proteins, self.types, self.regulators, self.unmixed, self.genes)
        return any(map(len, (*lists, *named)))


def build_failures(rows: Rows, baseline: Rows, worst: Sequence[tuple[str, str]]) -> Failures:
    """Return the failure lists of one entry on one board.

    Parameters
    ----------
    rows, baseline
        Failure rows of the entry, and of the declared baseline it is compared with.
    worst
        Units with the worst score and that score as text, worst first.
    """
    kinds = defaultdict(list)
    for row in rows:
        kinds[row["kind"]].append(row)
    reference = defaultdict(list)
    for row in baseline:
        reference[row["kind"]].append(row)
    return Failures(
        confusions=_confusions(kinds["confusion"]),
        hard_units=_hard_units(kinds["top_gene"], worst),
        confident=_confident(kinds["confident_error"]),
        calibration=_calibration(kinds["calibration"]),
        proteins=_proteins(kinds["protein"], reference["protein"]),
        types=_types(kinds["type_error"], reference["type_error"]),
        regulators=_regulators(kinds, worst),
        unmixed=_unmixed(kinds["unmixed_label"]),
        genes=_genes(kinds["gene_error"]),
    )


def _cells(rows: Rows) -> dict[tuple[str, str], float]:
    """Return cells by true and predicted label, as a mean over seeds."""
    n_seeds = len({row["seed"] for row in rows}) or 1
    cells: dict[tuple[str, str], float] = defaultdict(float)
    for row in rows:
        cells[row["subject"], row["key"]] += row["n"] / n_seeds
    return cells


def _totals(cells: Mapping[tuple[str, str], float]) -> dict[str, float]:
    totals: dict[str, float] = defaultdict(float)
    for (label, _), n in cells.items():
        totals[label] += n
    return totals


def _confusions(rows: Rows) -> tuple[Confusion, ...]:
    cells = _cells(rows)
    totals = _totals(cells)
    wrong = sorted((-n, pair) for pair, n in cells.items() if pair[0] != pair[1])
    return tuple(
        Confusion(
            label=label,
            predicted=predicted,
            share=text.percent(-n / totals[label]),
            cells=text.count(-n),
        )
        for n, (label, predicted) in wrong[:MAX_CONFUSIONS]
    )


def _hard_units(rows: Rows, worst: Sequence[tuple[str, str]]) -> tuple[HardUnit, ...]:
    shifts: dict[str, dict[tuple[int, str], dict[str, list[float]]]] = {}
    cells: dict[str, float] = {}
    for row in rows:
        at = (int(row["position"]), row["subject"])
        by_gene = shifts.setdefault(row["unit"], {}).setdefault(at, {})
        by_gene.setdefault(row["key"], []).append(row["value"])
        cells[row["unit"]] = row["n"]
    return tuple(
        HardUnit(
            unit=unit,
            score=score,
            cells=text.count(cells[unit]),
            genes=tuple(_gene(at, shifts[unit][at]) for at in sorted(shifts[unit])[:MAX_GENES]),
        )
        for unit, score in worst[:MAX_UNITS]
        if unit in shifts
    )


def _regulators(
    kinds: Mapping[str, Rows], worst: Sequence[tuple[str, str]]
) -> tuple[HardRegulator, ...]:
    """Return the worst regulators with their strongest false and their lowest true edges."""
    edges: dict[str, list[tuple[str, str, str, str]]] = defaultdict(list)
    for kind, words in EDGES.items():
        rows = sorted(kinds.get(kind, ()), key=lambda r: (r["seed"], r["position"]))
        for row in [r for r in rows if r["seed"] == rows[0]["seed"]]:
            edges[row["unit"]].append(
                (words, row["key"], text.signed(row["value"]), text.count(row["n"]))
            )
    return tuple(
        HardRegulator(unit=unit, score=score, edges=tuple(edges[unit]))
        for unit, score in worst[:MAX_UNITS]
        if unit in edges
    )


def _gene(at: tuple[int, str], by_key: Mapping[str, Sequence[float]]) -> tuple[str, str, str]:
    return at[1], _mean(by_key.get("true", ())), _mean(by_key.get("predicted", ()))


def _mean(values: Sequence[float]) -> str:
    return text.signed(sum(values) / len(values), 2) if values else "not given"


def _confident(rows: Rows) -> tuple[tuple[str, str, str, str], ...]:
    first = min((r["seed"] for r in rows), default=0)  # seeds err in the same cells
    rows = [r for r in rows if r["seed"] == first]
    order = sorted(rows, key=lambda r: (-r["value"], r["unit"], r["subject"], r["key"]))
    return tuple(
        (text.probability(r["value"]), r["subject"], r["key"], r["unit"])
        for r in order[:MAX_ERRORS]
    )


def _genes(rows: Rows) -> tuple[tuple[str, str, str, str], ...]:
    """Return the genes of either kind that lie furthest on the wrong side, one line a gene."""
    first = {row["subject"]: row for row in sorted(rows, key=lambda r: -r["seed"])}
    chosen = []
    for kind, sign in (("with", 1.0), ("without", -1.0)):
        own = [row for row in first.values() if row["key"] == kind]
        own.sort(key=lambda r: (sign * r["value"], r["subject"]))
        chosen += own[:MAX_GENES]
    return tuple(
        (r["subject"], f"{r['key']} the property", text.number(r["value"], 2), r["unit"])
        for r in chosen
    )


def _unmixed(rows: Rows) -> tuple[tuple[str, str, str, str], ...]:
    order = sorted(rows, key=lambda r: (r["value"], r["subject"], r["unit"]))
    return tuple(
        (r["subject"], r["unit"], text.number(r["value"]), text.count(r["n"]))
        for r in order[:MAX_CONFUSIONS]
    )


def _calibration(rows: Rows) -> tuple[tuple[str, str, str, str], ...]:
    sums: dict[str, dict[str, float]] = defaultdict(lambda: defaultdict(float))
    for row in rows:
        sums[row["subject"]][row["key"]] += row["value"] * row["n"]
        sums[row["subject"]][f"n_{row['key']}"] += row["n"]
    n_seeds = len({row["seed"] for row in rows}) or 1
    return tuple(_bin(start, sums[start], n_seeds) for start in sorted(sums))


def _bin(start: str, found: Mapping[str, float], n_seeds: int) -> tuple[str, str, str, str]:
    means = [text.number(found[k] / found[f"n_{k}"]) for k in ("confidence", "accuracy")]
    low = float(start)
    label = f"{text.number(low, 1)}\N{EN DASH}{text.number(low + 0.1, 1)}"
    return label, means[0], means[1], text.count(found["n_accuracy"] / n_seeds)


def _proteins(rows: Rows, reference: Rows) -> tuple[Weak, ...]:
    """Return the proteins with the lowest correlation, as means over units, folds and seeds."""
    found, other = _values(rows), _values(reference)
    means = sorted((sum(values) / len(values), name) for name, values in found.items())
    units = {name: {row["unit"] for row in rows if row["subject"] == name} for _, name in means}
    return tuple(
        Weak(
            name=name,
            value=text.number(value),
            baseline=text.number(sum(other[name]) / len(other[name])) if other[name] else NOT_RUN,
            size=text.count(len(units[name])),
        )
        for value, name in means[:MAX_PROTEINS]
    )


def _values(rows: Rows) -> defaultdict[str, list[float]]:
    found: defaultdict[str, list[float]] = defaultdict(list)
    for row in rows:
        found[row["subject"]].append(row["value"])
    return found


def _types(rows: Rows, reference: Rows) -> tuple[Weak, ...]:
    """Return the types of at least 10 cells with the largest error over all of their cells."""
    found, other = _errors(rows), _errors(reference)
    n_seeds = len({row["seed"] for row in rows}) or 1
    large = sorted((-e, name, n) for name, (e, n) in found.items() if n / n_seeds >= MIN_CELLS)
    return tuple(
        Weak(
            name=name,
            value=text.measure(-error),
            baseline=text.measure(other[name][0]) if name in other else NOT_RUN,
            size=text.count(n / n_seeds),
        )
        for error, name, n in large[:MAX_TYPES]
    )


def _errors(rows: Rows) -> dict[str, tuple[float, float]]:
    """Return root mean squared error and cells by type, from those of units, folds and seeds."""
    squares: defaultdict[str, float] = defaultdict(float)
    cells: defaultdict[str, float] = defaultdict(float)
    for row in rows:
        squares[row["subject"]] += row["n"] * row["value"] ** 2
        cells[row["subject"]] += row["n"]
    return {name: (math.sqrt(squares[name] / n), n) for name, n in cells.items()}


def of_board(rows: Iterable[Mapping[str, Any]], entry: str, board: str) -> list[Mapping[str, Any]]:
    """Return the failure rows of one entry on one board."""
    return [row for row in rows if row["entry"] == entry and row["board"] == board]
