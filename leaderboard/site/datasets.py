"""What a dataset's page shows: record, contract report, audit, composition, confounding."""

import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from leaderboard.audit._library import cramers_v as audited_v
from leaderboard.site import text
from leaderboard.site.boards import BoardPage, merge_folds
from leaderboard.site.origin import Origin, build_origin, committed_names
from leaderboard.site.records import DatasetFacts, SiteData

MAX_COLUMNS = 14
MAX_ROWS = 40
MAX_VALUES = 24
TINTS = 6
DOI = re.compile(r"10\.\d{4,9}/[-._;()/:A-Za-z0-9]+")
LIBRARY = {
    "single": "All cells come from one library, so library effects can be neither seen nor "
    "confused with anything.",
    "unknown": "Nobody states which library a cell comes from, so confounding with library "
    "cannot be checked.",
}


@dataclass(frozen=True, kw_only=True)
class Promise:
    """One expectation of a contract."""

    contract: str
    words: str
    kept: bool
    detail: str


@dataclass(frozen=True, kw_only=True)
class HeatCell:
    """A count with its tint."""

    count: str
    tint: str


@dataclass(frozen=True, kw_only=True)
class Heat:
    """Cells by two columns of ``obs``."""

    row_name: str
    column_name: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, tuple[HeatCell, ...]], ...]
    cramers_v: str
    """Blank where a column has one value only."""
    too_large: str
    """Why no table is drawn; blank if there is one."""


@dataclass(frozen=True, kw_only=True)
class DatasetPage:
    """One dataset."""

    facts: DatasetFacts
    origin: Origin
    cells: str
    genes: str
    promises: tuple[Promise, ...]
    n_kept: int
    checks: tuple[tuple[str, str, str, str], ...]
    """Check, how often it was made, errors, warnings."""
    findings: tuple[Mapping[str, Any], ...]
    columns: tuple[tuple[str, str], ...]
    heats: tuple[Heat, ...]
    library: str
    doi_url: str
    boards: tuple[BoardPage, ...]


def build_dataset(data: SiteData, pages: Mapping[str, BoardPage], name: str) -> DatasetPage:
    """Return the page of one dataset."""
    facts = data.datasets[name]
    found = facts.validation or {"composition": {"columns": {}, "pairs": {}}, "contracts": []}
    promises = tuple(_promises(found["contracts"]))
    audit = facts.audit or []
    doi = facts.record.citation.doi
    boards = tuple(page for page in pages.values() if page.dataset == name)
    has_results = bool(boards) or facts.validation is not None
    committed = committed_names(data.standings[page.id] for page in boards)
    return DatasetPage(
        facts=facts,
        origin=build_origin(
            facts.source, facts.suite, has_results=has_results, committed=committed
        ),
        cells=text.count(found.get("cells", facts.record.expected.cells)),
        genes=text.count(found.get("genes", facts.record.expected.genes)),
        promises=promises,
        n_kept=sum(p.kept for p in promises),
        checks=_checks(audit),
        findings=tuple(merge_folds([f for f in audit if f["severity"] != "ok"])),
        columns=tuple((k, _values(v)) for k, v in sorted(found["composition"]["columns"].items())),
        heats=tuple(_heat(k, v) for k, v in sorted(found["composition"]["pairs"].items())),
        library=LIBRARY.get(facts.record.library, _library_column(facts.record.library)),
        doi_url=f"https://doi.org/{doi}" if DOI.fullmatch(doi) else "",
        boards=boards,
    )


def _promises(contracts: Sequence[Mapping[str, Any]]) -> list[Promise]:
    return [
        Promise(
            contract=contract["contract"],
            words=result["promise"],
            kept=result["success"],
            detail=_detail(result),
        )
        for contract in contracts
        for result in contract["results"]
    ]


def _detail(result: Mapping[str, Any]) -> str:
    if result["success"]:
        n = result["element_count"]
        return f"{text.count(n)} values" if n is not None else "whole table"
    ids = ", ".join(map(str, result["first_ids"]))
    broken = result["unexpected_count"]
    parts = [
        result["problem"],
        f"broken by {broken}" if broken else "",
        f"first: {ids}" if ids else "",
    ]
    return "; ".join(part for part in parts if part) or "broken"


def _checks(audit: Sequence[Mapping[str, Any]]) -> tuple[tuple[str, str, str, str], ...]:
    by_check: dict[str, Counter[str]] = {}
    for found in audit:
        by_check.setdefault(found["check"], Counter())[found["severity"]] += 1
    return tuple(
        (check, text.count(n.total()), text.count(n["error"]), text.count(n["warning"]))
        for check, n in sorted(by_check.items())
    )


def _values(counts: Mapping[str, int]) -> str:
    if len(counts) > MAX_VALUES:
        low, high = min(counts.values()), max(counts.values())
        return (
            f"{text.count(len(counts))} values, {text.count(low)} to {text.count(high)} cells each"
        )
    return ", ".join(f"{value} ({text.count(n)})" for value, n in sorted(counts.items()))


def _heat(name: str, table: Mapping[str, Any]) -> Heat:
    """Return a table of counts with the longer side down the page."""
    row_name, _, column_name = name.partition(" x ")
    rows, columns, cells = table["rows"], table["columns"], table["cells"]
    if len(columns) > len(rows):
        row_name, column_name, rows, columns = column_name, row_name, columns, rows
        cells = [list(column) for column in zip(*cells, strict=True)]
    fits = len(columns) <= MAX_COLUMNS and len(rows) <= MAX_ROWS
    largest = max((n for row in cells for n in row), default=0)
    v = cramers_v(cells)
    shown = zip(rows, cells, strict=True) if fits else ()
    return Heat(
        row_name=row_name,
        column_name=column_name,
        columns=tuple(columns),
        rows=tuple((row, tuple(_heat_cell(n, largest) for n in counts)) for row, counts in shown),
        cramers_v="" if v is None else text.number(v, 2),
        too_large="" if fits else f"{len(rows)} by {len(columns)} counts: too many to print here.",
    )


def _heat_cell(n: int, largest: int) -> HeatCell:
    share = n / largest if largest else 0.0
    tint = 0 if n == 0 else min(TINTS, 1 + math.floor(TINTS * math.sqrt(share) - 1e-9))
    return HeatCell(count=text.count(n), tint=f"q{tint}")


def cramers_v(cells: Sequence[Sequence[int]]) -> float | None:
    """Return Cramér's V of a table of counts as the audit takes it; None for one value only.

    Examples
    --------
    >>> cramers_v([[50, 0], [0, 50]])
    1.0
    """
    table = np.array(cells, dtype=np.float64)
    table = table[table.sum(axis=1) > 0][:, table.sum(axis=0) > 0]
    return audited_v(table) if min(table.shape) > 1 else None


def _library_column(column: str) -> str:
    return (
        f"The library of every cell is in column {column}; the tables below show what it is "
        "tied to."
    )
