"""What nobody solves on a board, where an entry loses, and which genes it turns round."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from leaderboard.site import text
from leaderboard.site.recall import RecallCell, cell_of
from leaderboard.site.scale import Numbers, numbers_of

MAX_ROWS = 10
MAX_LABELS = 12
MAX_GENES = 8
FLOOR = "floor"
MIN_SUPPORT = {"regulator": "edge", "gene_fold": "gene"}
"""What a unit's size counts, where it is no cells."""


@dataclass(frozen=True, kw_only=True)
class Hard:
    """One unit, type or protein that nobody solves, or one entry alone."""

    name: str
    value: str
    """The best score or recall of those who might solve it."""
    best: str
    """Whose that is."""
    bar: str
    """What had to be passed."""
    bar_of: str
    """Whose score that is."""
    size: str


@dataclass(frozen=True, kw_only=True)
class UnsolvedTable:
    """One kind of thing to solve."""

    title: str
    what: str
    rule: str
    n_nobody: int
    n_one: int
    nobody: tuple[Hard, ...]
    one: tuple[Hard, ...]
    score: str
    size: str

    finding: str
    """The conclusion."""


@dataclass(frozen=True, kw_only=True)
class UnitRow:
    """A unit of one entry."""

    unit: str
    value: str
    baseline: str
    difference: str
    size: str


@dataclass(frozen=True, kw_only=True)
class Losses:
    """An entry's worst units and those it loses."""

    label: str
    baseline: str
    """Name of the declared baseline it is compared with; blank without one."""
    finding: str
    worst: tuple[UnitRow, ...]
    lost: tuple[UnitRow, ...]
    size: str
    gap: str
    """What the difference is, for the head of its column."""


@dataclass(frozen=True, kw_only=True)
class Directions:
    """Genes that an entry predicts in the wrong direction."""

    finding: str
    rows: tuple[tuple[str, str, str, str], ...]
    """Gene, ``9 of 10``, p of the sign test, p after Holm."""


@dataclass(frozen=True, kw_only=True)
class EntryFailures:
    """What is derived about one entry on one board."""

    recalls: tuple[tuple[str, str, RecallCell], ...]
    """Type, why it is rare, and its recall; rare ones first."""
    more_recalls: tuple[tuple[str, str, RecallCell], ...]
    losses: Losses | None
    directions: Directions | None
    lost_types: str = ""
    """On how many types it is below the best simple baseline."""

    @property
    def any(self) -> bool:
        """Whether there is anything to show."""
        return bool(self.recalls or self.losses or self.directions)


NOTHING = EntryFailures(recalls=(), more_recalls=(), losses=None, directions=None)


def build_entry_failures(
    record: Mapping[str, Any], standings: Mapping[str, Any], entry: str
) -> EntryFailures:
    """Return what a board's failure record says of one entry."""
    names = {row["entry"]: str(row["name"]) for row in standings["rows"]}
    unit = standings["board"]["unit"]
    recalls = [
        (str(found["label"]), str(found["rare"]), cell_of(own, found, names, unit))
        for found in record.get("labels", ())
        if (own := found["entries"].get(entry)) is not None
    ]
    own = record.get("entries", {}).get(entry)
    if own is None:
        return NOTHING
    losses = _losses(own["losses"], record, standings, names) if own["losses"] else None
    return EntryFailures(
        recalls=tuple(recalls[:MAX_LABELS]),
        more_recalls=tuple(recalls[MAX_LABELS:]),
        losses=losses,
        directions=_directions(own["directions"], unit) if own["directions"] else None,
        lost_types=_lost_types(own["labels"]) if own["labels"] else "",
    )


def _lost_types(found: Mapping[str, Any]) -> str:
    if not found["compared"]:
        return ""
    return (
        f"Below the best other baseline of the type in {found['lost']} of {found['compared']} "
        f"types, in {found['surely']} with the whole interval. That baseline is chosen on these "
        "data, which leans against the entry."
    )


def _losses(
    found: Mapping[str, Any],
    record: Mapping[str, Any],
    standings: Mapping[str, Any],
    names: Mapping[str, str],
) -> Losses:
    metric = standings["metrics"][record["metric"]]
    numbers, unit = numbers_of(metric), standings["board"]["unit"]
    baseline = names.get(found["baseline"], "") if found["baseline"] else ""
    units = text.unit_word(unit, found["compared"])
    finding = f"{found['units']} {text.unit_word(unit, found['units'])}; no baseline to compare."
    if baseline:
        finding = f"Below {baseline} in {found['lost']} of {found['compared']} {units}."
    return Losses(
        label=metric["label"],
        baseline=baseline,
        finding=finding,
        worst=tuple(_unit_row(row, numbers) for row in found["worst"]),
        lost=tuple(_unit_row(row, numbers) for row in found["worst_lost"]),
        gap="Times less error" if numbers.is_log else "Difference",
        size=_size(unit),
    )


def _unit_row(row: Mapping[str, Any], numbers: Numbers) -> UnitRow:
    other, gap = row["baseline_value"], row["difference"]
    return UnitRow(
        unit=row["unit"],
        value=numbers.measure(row["value"]),
        baseline="" if other is None else numbers.measure(other),
        difference="" if gap is None else numbers.lead(gap),
        size=text.count(row["n"]),
    )


def _size(unit: str) -> str:
    return f"{MIN_SUPPORT.get(unit, 'cell')}s".capitalize()


def _directions(found: Mapping[str, Any], unit: str) -> Directions:
    tested = text.plural(found["tested"], "gene")
    if not found["tested"]:
        return Directions(
            finding=f"No gene surely moves in 5 {text.unit_word(unit, 5)}: nothing to test.",
            rows=(),
        )
    finding = (
        f"Of {tested} that surely move in at least 5 {text.unit_word(unit, 5)}, "
        f"{text.count(found['significant'])} "
        f"{'is' if found['significant'] == 1 else 'are'} sent the wrong way more often than a "
        "guess (sign test, Holm)."
    )
    return Directions(
        finding=finding,
        rows=tuple(
            (g["gene"], f"{g['wrong']} of {g['n']}", text.p_value(g["p"]),
             text.p_value(g["p_holm"]))
            for g in found["genes"][:MAX_GENES]
        ),
    )  # fmt: skip


def build_unsolved(
    record: Mapping[str, Any], standings: Mapping[str, Any]
) -> tuple[UnsolvedTable, ...]:
    """Return a table for each kind of thing that entries of a board can solve."""
    found = record.get("unsolved", {})
    names = {row["entry"]: str(row["name"]) for row in standings["rows"]}
    tables = []
    if found.get("units") and found["units"]["units"]:
        metric = standings["metrics"][record["metric"]]
        unit = standings["board"]["unit"]
        tables.append(
            _table(found["units"], names, numbers_of(metric), (unit, metric["label"], _size(unit)))
        )
    if found.get("labels") and found["labels"]["labels"]:
        tables.append(_labels(found["labels"], names))
    if found.get("proteins"):
        plain = Numbers(is_log=False)
        tables.append(_table(found["proteins"], names, plain, ("protein", "Pearson", "Cells")))
    return tuple(tables)


def _table(
    found: Mapping[str, Any],
    names: Mapping[str, str],
    numbers: Numbers,
    words: tuple[str, str, str],
) -> UnsolvedTable:
    unit, score, size = words
    one, many = (text.unit_word(unit, n) if unit in text.UNITS else unit + "s" * (n - 1)
                 for n in (1, 2))  # fmt: skip
    bar = "every declared baseline and the floor"
    if found["rule"] == FLOOR:
        bar = "the floor (only declared baselines ran)"

    def hard(row: Mapping[str, Any]) -> Hard:
        return Hard(
            name=row["unit"],
            value="no value" if row["value"] is None else numbers.measure(row["value"]),
            best=names.get(row["best"], row["best"]),
            bar=numbers.measure(row["bar_value"]),
            bar_of=names.get(row["bar"], row["bar"]),
            size=text.count(row["n"]),
        )

    nobody = found["nobody"]
    floor = sum(row["bar"] == FLOOR for row in nobody)
    rest = f", in {text.count(floor)} of them not even a baseline passes the floor" if floor else ""
    return UnsolvedTable(
        title=many[0].upper() + many[1:],
        what=one[0].upper() + one[1:],
        finding=f"In {len(nobody)} of {found['units']} {many} no entry does better than {bar}"
        f"{rest}; solved by one entry alone: {len(found['one'])}.",
        rule=f"Points: one {one} has no interval, and the best of several baselines is a hard "
        "bar. First those in which nobody passes the floor, then by the gap.",
        n_nobody=len(nobody),
        n_one=len(found["one"]),
        nobody=tuple(map(hard, nobody[:MAX_ROWS])),
        one=tuple(map(hard, found["one"][:MAX_ROWS])),
        score=score,
        size=size,
    )


def _labels(found: Mapping[str, Any], names: Mapping[str, str]) -> UnsolvedTable:
    def hard(row: Mapping[str, Any]) -> Hard:
        return Hard(
            name=row["label"],
            value=text.number(row["recall"]),
            best=names.get(row["best"], row["best"]),
            bar=text.number(0.5),
            bar_of="half of the cells",
            size=text.count(row["cells"]),
        )

    def sort(rows: Sequence[Mapping[str, Any]]) -> tuple[Hard, ...]:
        order = sorted(rows, key=lambda row: (row["recall"], row["label"]))
        return tuple(map(hard, order[:MAX_ROWS]))

    return UnsolvedTable(
        title="Cell types",
        what="Type",
        finding=f"Of {text.plural(found['labels'], 'type')}, no entry finds half of the cells of "
        f"{text.count(len(found['nobody']))}; found by one entry alone: "
        f"{text.count(len(found['one']))}.",
        rule="Types with fewer than 10 cells that training held are left out.",
        n_nobody=len(found["nobody"]),
        n_one=len(found["one"]),
        nobody=sort(found["nobody"]),
        one=sort(found["one"]),
        score="Recall",
        size="Cells",
    )
