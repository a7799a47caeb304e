"""One metric of one board as a table: every number already text, every state already a word."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from leaderboard.site import text
from leaderboard.site.findings import Finding, build_finding
from leaderboard.site.scale import Numbers, Scale, numbers_of, scale_of
from leaderboard.site.whisker import Axis, Drawing, build_axis, draw

RESOLVED_UNITS = 6
"""With fewer units a rank is printed only where something is separated."""
GROUPS = (
    ("model", "Models", "ranked with the baselines, judged against every declared one"),
    ("baseline", "Simple baselines", "ranked, not judged"),
    ("apart", "Set apart", "failed, incomplete, self-reported or refused by the audit: no rank"),
)
NOT_RUN = "not run"
NO_UNIT = "no unit of this board ranks"
UNRANKED = "shown, nothing is ranked by this metric here"


@dataclass(frozen=True, kw_only=True)
class Rank:
    """The ranks that cannot be ruled out."""

    text: str
    ticks: tuple[bool, ...]
    """One tick an entry of the family; empty where nothing is resolved."""


@dataclass(frozen=True, kw_only=True)
class Lead:
    """A difference to a declared baseline."""

    baseline: str
    value: str
    interval: str
    p: str


@dataclass(frozen=True, kw_only=True)
class Row:
    """One entry on one metric."""

    entry: str
    name: str
    kind: str
    group: str
    rank: Rank | None
    verdict: str
    score: str
    """Blank where there is none; then ``words`` says why."""
    interval: str
    words: str
    scaled: str
    hardest: Lead | None
    leads: Mapping[str, Lead]
    inflation: str
    inflation_interval: str
    units: str
    coverage: str
    tier: str
    verification: str
    source: str
    """Whether its scores were ``recomputed`` by this build or come from ``committed`` results."""
    unit_se: str
    """Standard error between units; blank without an interval."""
    seed_sd: str
    drawing: Drawing | None
    values: Mapping[str, str]
    """By unit."""
    flags: tuple[Mapping[str, str], ...]
    """What the audit says of the entry: ``check severity message``."""
    exposure: str
    """``seen``, ``unseen`` or ``unknown``: whether it met the dataset before."""
    exposure_evidence: str


@dataclass(frozen=True, kw_only=True)
class MetricTable:
    """One metric of a board."""

    name: str
    label: str
    ranks: bool
    reason: str
    trusted: bool
    is_log: bool
    note: str
    higher_is_better: bool
    scale: Scale
    units: tuple[str, ...]
    baselines: tuple[tuple[str, str], ...]
    """Id and name of the declared baselines, as differences are taken to them."""
    test: str
    """Of a difference to a baseline."""
    lost: str
    """Declared baselines that no verdict was judged against here; blank if there is none."""
    finding: Finding | None
    """Who may be the best and who beats every baseline; None if the metric ranks nothing here."""
    axis: Axis | None
    groups: tuple[tuple[str, str, tuple[Row, ...]], ...]
    """Title, note and rows; control entries are in none."""
    controls: tuple[Row, ...]

    @property
    def shared_note(self) -> str:
        """What is odd about every row alike, to be said once."""
        words = {row.words for row in self.rows}
        is_one = len(words) == 1 and len(self.rows) > 1 and all(row.score for row in self.rows)
        return next(iter(words)) if is_one else ""

    @property
    def missing(self) -> str:
        """Why no entry has a value; blank if one has."""
        if any(row.score for row in self.rows):
            return ""
        return "; ".join(dict.fromkeys(row.words for row in self.rows))

    @property
    def has_inflation(self) -> bool:
        """Whether a random board was scored beside this one."""
        return any(row.inflation for row in self.rows)

    @property
    def rows(self) -> tuple[Row, ...]:
        """Models and baselines, in the order of the page."""
        return tuple(row for _, _, rows in self.groups for row in rows)


def build_table(standings: Mapping[str, Any], metric: str) -> MetricTable:
    """Return the table of one metric of a board's standings."""
    found = standings["metrics"][metric]
    numbers = numbers_of(found)
    names = {row["entry"]: str(row["name"]) for row in standings["rows"]}
    baselines = _declared(standings, metric)
    means = [
        row["metrics"][metric]["value"] for row in standings["rows"] if row["entry"] in baselines
    ]
    axis = build_axis(found, [m for m in means if m is not None])
    ranks = bool(found["ranks"] and standings["ranked"])
    family = sum(row["metrics"][metric].get("rank_low") is not None for row in standings["rows"])
    rows = [
        _row(row, metric, found, axis, names, family if ranks else 0) for row in standings["rows"]
    ]
    return MetricTable(
        name=metric,
        label=found["label"],
        ranks=ranks,
        reason=found["reason"],
        trusted=found["trusted"],
        is_log=numbers.is_log,
        note=found["display_note"],
        higher_is_better=found["higher_is_better"],
        scale=scale_of(found),
        units=tuple(found["units"]),
        baselines=tuple((b, names[b]) for b in baselines),
        test=found["statistics"]["test"],
        lost=text.listing([names[b] for b in found["baselines_missing"]]) if ranks else "",
        finding=build_finding(standings, metric) if ranks else None,
        axis=axis,
        groups=_groups(rows, ranks=ranks),
        controls=tuple(row for row in rows if row.group == "control"),
    )


def _declared(standings: Mapping[str, Any], metric: str) -> list[str]:
    """Return the baselines that differences were taken to, in their declared order."""
    order: list[str] = []
    cells = [row["metrics"][metric] for row in standings["rows"]]
    for cell in sorted(cells, key=lambda c: -len(c.get("differences", []))):
        order += [d["baseline"] for d in cell.get("differences", []) if d["baseline"] not in order]
    return order


def _groups(rows: Sequence[Row], *, ranks: bool) -> tuple[tuple[str, str, tuple[Row, ...]], ...]:
    groups = []
    for key, title, note in GROUPS:
        members = tuple(row for row in rows if row.group == key)
        if members:
            is_entry = key in {"model", "baseline"}
            groups.append((title, note if ranks or not is_entry else UNRANKED, members))
    return tuple(groups)


def _row(
    row: Mapping[str, Any],
    metric: str,
    found: Mapping[str, Any],
    axis: Axis | None,
    names: Mapping[str, str],
    family: int,
) -> Row:
    cell = row["metrics"][metric]
    has_value = cell["value"] is not None
    numbers = numbers_of(found)
    leads = _leads(cell, numbers, names) if has_value else {}
    inflation = cell.get("inflation")
    n_units = len(found["units"])
    return Row(
        entry=row["entry"],
        name=row["name"],
        kind=row["kind"],
        group=_group(row, cell),
        rank=_rank(cell, family, n_units) if family else None,
        verdict=_verdict(row, cell, is_judged=family > 0),
        score=numbers.value(cell["value"]) if has_value else "",
        interval=numbers.interval(cell, is_lead=False) if has_value else "",
        words=_words(row, cell),
        scaled=_scaled(cell),
        hardest=leads.get(_hardest(cell)),
        leads=leads,
        inflation=numbers.lead(inflation["mean"]) if inflation else "",
        inflation_interval=numbers.interval(inflation, is_lead=True) if inflation else "",
        units=f"{cell['n'] if has_value else 0} of {n_units}" if n_units else "none",
        coverage=text.percent(cell["coverage"]),
        tier=row["tier"],
        verification=row["verification"],
        source=row["source"],
        unit_se="" if cell.get("unit_se") is None else text.number(cell["unit_se"]),
        seed_sd="" if cell.get("seed_sd") is None else text.number(cell["seed_sd"]),
        drawing=draw(axis, cell) if axis and has_value else None,
        values={u: numbers.value(v) for u, v in cell.get("units", {}).items()},
        flags=tuple(row["flags"]),
        exposure=row["exposure"],
        exposure_evidence=row["exposure_evidence"],
    )


def _group(row: Mapping[str, Any], cell: Mapping[str, Any]) -> str:
    if row["kind"] == "control":
        return "control"
    is_whole = row["status"] == "complete" and cell["value"] is not None and cell["coverage"] == 1
    is_refused = any(flag["severity"] == "error" for flag in row["flags"])
    is_in = is_whole and row["verification"] == "reproduced" and not is_refused
    return str(row["kind"]) if is_in else "apart"


def _words(row: Mapping[str, Any], cell: Mapping[str, Any]) -> str:
    """Say what is odd about a cell; blank if nothing is."""
    if row["status"] == "failed":
        failed = f"failed: {row['reason'].rstrip('.')}"
        given = ". Set to the worse of the floor and the lowest entry"
        return failed if cell["value"] is None else failed + given
    if cell["value"] is None:
        return why_missing(row, cell)
    return f"undefined in some units: {cell['reason']}" if cell["reason"] else ""


def why_missing(row: Mapping[str, Any], cell: Mapping[str, Any]) -> str:
    """Say why an entry that did not fail has no value."""
    if row["status"] == NOT_RUN or cell["reason"] == NO_UNIT:
        return str(cell["reason"])
    return f"undefined: {cell['reason'] or 'no reason is given'}"


def _verdict(row: Mapping[str, Any], cell: Mapping[str, Any], *, is_judged: bool) -> str:
    if row["status"] == "failed":
        return "failed"
    if row["kind"] == "control":
        return "control"
    if row["kind"] == "baseline":
        return "reference"
    return cell.get("verdict", "not judged") if is_judged else "not judged"


def _rank(cell: Mapping[str, Any], family: int, n_units: int) -> Rank | None:
    low, high = cell.get("rank_low"), cell.get("rank_high")
    if low is None or high is None:
        return None
    if n_units < RESOLVED_UNITS and (low, high) == (1, family) and family > 1:
        return Rank(text="not resolved", ticks=())
    return Rank(
        text=text.ranks(low, high), ticks=tuple(low <= k <= high for k in range(1, family + 1))
    )


def _scaled(cell: Mapping[str, Any]) -> str:
    return "" if cell.get("scaled") is None else text.number(cell["scaled"], 2)


def _leads(cell: Mapping[str, Any], numbers: Numbers, names: Mapping[str, str]) -> dict[str, Lead]:
    return {
        found["baseline"]: Lead(
            baseline=names.get(found["baseline"], found["baseline"]),
            value=numbers.lead(found["mean"]),
            interval=numbers.interval(found, is_lead=True),
            p=_p(found),
        )
        for found in cell["differences"]
    }


def _p(found: Mapping[str, Any]) -> str:
    if found["p_better"] is None:
        return f"no test: {found['n']} unit(s)"
    return f"{text.p_value(found['p_better'])}, flip {text.p_value(found['p_sign_flip'])}"


def _hardest(cell: Mapping[str, Any]) -> str:
    """Return the baseline with the lowest lower bound; without intervals, the lowest lead."""
    found = cell.get("differences", [])
    key = "mean" if any(d["low"] is None for d in found) else "low"
    return str(min(found, key=lambda d: d[key])["baseline"]) if found else ""
