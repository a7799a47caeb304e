"""What an entry's page shows: card, exposure, boards, failures, cost and provenance."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from leaderboard.site import text
from leaderboard.site.boards import BoardPage
from leaderboard.site.failures import MAX_UNITS, Failures, build_failures, of_board
from leaderboard.site.origin import Origin, build_origin
from leaderboard.site.records import EntryRecord, Result, SiteData
from leaderboard.site.tables import MetricTable, Row
from leaderboard.site.unsolved import NOTHING, EntryFailures, build_entry_failures

UNKNOWN = "unknown"


@dataclass(frozen=True, kw_only=True)
class BoardRow:
    """One row of one board, as the entry's page shows it."""

    page: BoardPage
    table: MetricTable
    row: Row

    @property
    def origin(self) -> Origin:
        """Where the scores of this entry come from; others of the board may come from elsewhere."""
        return build_origin(self.row.source, self.page.facts["suite"])


@dataclass(frozen=True, kw_only=True)
class BoardFailures:
    """Failures on one board, beside those of the baseline with the best score."""

    page: BoardPage
    baseline: str
    """Its name; blank if the entry is that baseline or none ran."""
    found: Failures
    derived: EntryFailures = NOTHING
    """Recalls, losses and reversed genes."""


@dataclass(frozen=True, kw_only=True)
class Step:
    """One link of a provenance chain."""

    name: str
    fact: str
    full: str = ""
    """The whole hash or id; blank where unknown."""
    words: str = ""
    """What stands in place of a hash where none is needed."""

    @property
    def short(self) -> str:
        """What is printed."""
        return self.words or (text.digest(self.full) if self.full else "not recorded")

    @property
    def is_open(self) -> bool:
        """Whether a hash is missing."""
        return not (self.full or self.words)


@dataclass(frozen=True, kw_only=True)
class ResultView:
    """Cost and provenance of one entry on one dataset."""

    dataset: str
    origin: Origin
    time: str
    memory: str
    device: str
    threads: str
    tier: str
    chain: tuple[Step, ...]
    is_current: bool
    """Whether the scored ``entry.yaml`` is the one of the tree."""


@dataclass(frozen=True, kw_only=True)
class EntryPage:
    """One entry."""

    id: str
    record: EntryRecord
    state: str
    finding: str
    exposure: tuple[tuple[str, str, str], ...]
    """Dataset, status and evidence, where it may have met a dataset before; declared or found."""
    boards: tuple[BoardRow, ...]
    failures: tuple[BoardFailures, ...]
    results: tuple[ResultView, ...]
    skipped: tuple[tuple[str, str], ...]


def build_entry(data: SiteData, pages: Mapping[str, BoardPage], name: str) -> EntryPage:
    """Return the page of one entry."""
    record = data.entries[name]
    mine = set(record.facts["plugins"]) if record.is_controls else {name}
    rows = [
        BoardRow(page=page, table=page.tables[0], row=row)
        for page in pages.values()
        if page.tables
        for row in (page.tables[0].controls if record.is_controls else page.tables[0].rows)
        if row.entry in mine
    ]
    results = [result for result in data.results if result.entry == name]
    not_run = record.facts["state"] == "not_run" or not rows
    return EntryPage(
        id=name,
        record=record,
        state="not run" if not_run else "scored",
        finding=_finding(record, rows),
        exposure=_exposure(record, rows),
        boards=tuple(rows),
        failures=() if record.is_controls else tuple(_failures(data, results, rows)),
        results=tuple(_result(data, record, result) for result in results),
        skipped=tuple(sorted(record.facts["skip"].items())),
    )


def _exposure(record: EntryRecord, rows: Sequence[BoardRow]) -> tuple[tuple[str, str, str], ...]:
    """List what is declared, and what the audit made of it on every dataset with results."""
    found = {d: (e["status"], str(e["evidence"])) for d, e in record.facts["exposure"].items()}
    if record.facts["pretraining"] or found:
        found |= {r.page.dataset: (r.row.exposure, r.row.exposure_evidence) for r in rows}
    return tuple((dataset, *found[dataset]) for dataset in sorted(found))


def _finding(record: EntryRecord, rows: Sequence[BoardRow]) -> str:
    if not rows:
        return "Not run: this build has no result of it."
    if record.is_controls:
        return "Control entries test the scale: the oracle must win, nonsense must not. None ranks."
    ranked = [r for r in rows if r.table.ranks]
    if record.kind == "baseline":
        return _baseline_finding(record, ranked)
    judged = [r for r in ranked if r.row.verdict in {"yes", "no", "cannot tell"}]
    wins = sum(r.row.verdict == "yes" for r in judged)
    if not judged:
        return "Not judged on any board."
    return (
        f"It is shown to beat every simple baseline on {wins} of "
        f"{text.plural(len(judged), 'ranked board')}."
    )


def _baseline_finding(record: EntryRecord, ranked: Sequence[BoardRow]) -> str:
    declared = [r for r in ranked if record.id in dict(r.table.baselines)]
    if not declared:
        return "A simple baseline, ranked beside the declared ones."
    boards = text.plural(len(declared), "ranked board")
    return f"A declared baseline of {boards}: models are judged against it there."


def _failures(
    data: SiteData, results: Sequence[Result], rows: Sequence[BoardRow]
) -> list[BoardFailures]:
    found = []
    for item in rows:
        if item.page.facts["is_random"]:
            continue
        own = [row for r in results for row in of_board(r.failures, item.row.entry, item.page.id)]
        baseline = _baseline(item)
        reference = [
            row
            for r in data.results
            if baseline is not None and r.entry == baseline.entry
            for row in of_board(r.failures, r.entry, item.page.id)
        ]
        lists = build_failures(own, reference, _worst(data, item))
        standings = data.standings[item.page.id]
        record = data.failures.get(item.page.id, {})
        derived = build_entry_failures(record, standings, item.row.entry)
        if lists.any or derived.any:
            name = baseline.name if baseline is not None else ""
            found.append(BoardFailures(page=item.page, baseline=name, found=lists, derived=derived))
    return found


def _baseline(item: BoardRow) -> Row | None:
    """Return the declared baseline with the best score; the rows of a table are sorted."""
    declared = {name for name, _ in item.table.baselines}
    rows = [r for r in item.table.rows if r.entry in declared and r.score]
    return next((r for r in rows if r.entry != item.row.entry), None)


def _worst(data: SiteData, item: BoardRow) -> list[tuple[str, str]]:
    """Return the units with the worst score, and that score."""
    standings = data.standings[item.page.id]
    row = next(r for r in standings["rows"] if r["entry"] == item.row.entry)
    units: Mapping[str, float] = row["metrics"][item.table.name].get("units", {})
    sign = 1 if item.table.higher_is_better else -1
    order = sorted(units, key=lambda u: (sign * units[u], u))
    return [(u, item.row.values[u]) for u in order[:MAX_UNITS]]


def _result(data: SiteData, record: EntryRecord, result: Result) -> ResultView:
    run = result.run or {}
    suite = data.datasets[result.dataset].suite
    return ResultView(
        dataset=result.dataset,
        origin=build_origin(result.source, suite),
        time=text.duration(run["seconds"]) if "seconds" in run else UNKNOWN,
        memory=text.memory(run["peak_memory_mb"]) if run.get("peak_memory_mb") else UNKNOWN,
        device=str(run.get("device", UNKNOWN)),
        threads=str(run.get("threads", UNKNOWN)),
        tier=str(result.facts["tier"]),
        chain=_chain(data, result, run),
        is_current=dict(result.facts) == dict(record.facts),
    )


def _chain(data: SiteData, result: Result, run: Mapping[str, Any]) -> tuple[Step, ...]:
    """Return the steps from data to scores, each with its hash."""
    dataset = data.datasets[result.dataset]
    tags = run.get("tags", {})
    files = dataset.record.files
    raw = Step(name="Raw data", words="simulated", fact="from parameters and a seed")
    if files:
        raw = Step(name="Raw data", words=text.plural(len(files), "file"), fact="SHA-256 checked")
    steps = [raw]
    steps += [
        Step(name="Split digest", full=digest, fact=f"{split}, frozen in {data.release}")
        for split, digest in sorted(dataset.digests.items())
    ]
    commit = "" if result.code_commit == UNKNOWN else result.code_commit
    run_id = str(run.get("mlflow_run", ""))
    code = "commit, with changes on top" if commit.endswith("+") else "commit of the repository"
    steps += [
        Step(name="Cases", full=str(tags.get("dvc_cases", "")), fact="all that a model may see"),
        Step(name="Code", full=commit.removesuffix("+"), fact=code),
        Step(name="Run", full=run_id, fact="MLflow run of the predictions"),
    ]
    if result.scores_sha256:
        steps.append(Step(name="Scores", full=result.scores_sha256, fact="SHA-256 of the table"))
    steps += _published(result)
    return tuple(steps)


def _published(result: Result) -> list[Step]:
    """Return predictions and scores as they were committed; a table is named once."""
    steps = []
    for board, digests in sorted(result.boards.items()):
        split = board.removeprefix(f"{result.dataset}-")
        found = digests.get("predictions_sha256", "")
        by_plugin = found if isinstance(found, Mapping) else {"": found}
        steps += [
            Step(name="Predictions", full=str(digest), fact=f"{plugin} {split}".strip())
            for plugin, digest in sorted(by_plugin.items())
        ]
    tables = {str(digests.get("scores_sha256", "")) for digests in result.boards.values()}
    return steps + [
        Step(name="Scores", full=table, fact="SHA-256 of the committed table")
        for table in sorted(tables)
    ]
