"""What a board's page shows, and the board's line on the front page."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from leaderboard.site import text
from leaderboard.site.compact import CompactTable, build_also, build_controls
from leaderboard.site.findings import Finding, build_finding
from leaderboard.site.novelty import NoveltyTable, build_novelty
from leaderboard.site.origin import Origin, build_origin, committed_names
from leaderboard.site.recall import RecallPanel, build_recall
from leaderboard.site.records import SiteData
from leaderboard.site.strata import Signal, StrataTable, build_signal, build_strata
from leaderboard.site.tables import MetricTable, build_table
from leaderboard.site.trust import DuelTable, Trust, build_duels, build_trust
from leaderboard.site.unsolved import UnsolvedTable, build_unsolved
from leaderboard.site.whisker import Drawing, draw


@dataclass(frozen=True, kw_only=True)
class Audit:
    """The state of the leak audit of one board."""

    state: str
    """``pass``, ``warn`` or ``fail``."""
    words: str
    findings: tuple[Mapping[str, Any], ...]
    """Equal ones of several folds once; ``where`` names the folds."""


@dataclass(frozen=True, kw_only=True)
class BoardPage:
    """One board with standings."""

    id: str
    title: str
    dataset: str
    dataset_title: str
    task: str
    question: str
    facts: Mapping[str, Any]
    """The ``board`` record of the standings."""
    ranked: bool
    reasons: tuple[str, ...]
    policy: str
    origin: Origin
    audit: Audit
    finding: Finding
    tables: tuple[MetricTable, ...]
    """Of the metrics that may rank, the one that sorts the board first."""
    trust: tuple[Trust, ...]
    """The same metrics, in the same order."""
    passed_over: tuple[Trust, ...]
    """Metrics that stand before the sorting one in the order of the task, but may not rank here."""
    duels: DuelTable
    strata: StrataTable | None
    signal: Signal | None
    novelty: NoveltyTable | None
    also: CompactTable | None
    """Metrics that never rank."""
    controls: CompactTable | None
    sorted_by: str | None
    digest: str
    unit: str
    units: str
    twin: str
    """Id of the random board of a grouped one and the other way round; blank if there is none."""
    absent: tuple[tuple[str, str], ...]
    """Entries without a result here: id and why."""
    strip: Drawing | None
    """All models on the scale, for the front page."""
    recall: RecallPanel | None = None
    """Every cell type by every entry; None on boards without types."""
    unsolved: tuple[UnsolvedTable, ...] = ()

    @property
    def because(self) -> str:
        """Why the board ranks nothing, in one line; blank if it ranks."""
        if not self.reasons:
            return ""
        more = len(self.reasons) - 1
        return text.first_words(self.reasons[0]) + (
            f"; {text.plural(more, 'more reason')} on its page" if more else ""
        )

    @property
    def n_ranking(self) -> int:
        """Number of metrics by which it ranks."""
        return sum(trust.state == "ranks" for trust in self.trust)


def build_board(data: SiteData, board_id: str) -> BoardPage:
    """Return the page of one board with standings."""
    standings = data.standings[board_id]
    facts = standings["board"]
    dataset = data.datasets.get(facts["dataset"])
    order, others = _metrics(data, standings)
    tables = tuple(build_table(standings, metric) for metric in order)
    task = data.tasks[facts["task"]]
    n_units = _n_units(standings, order)
    trust = build_trust(standings, data.metrics, order)
    return BoardPage(
        id=board_id,
        title=f"{task.label}, {text.held_out(facts['split'])}",
        dataset=facts["dataset"],
        dataset_title=dataset.record.title if dataset else facts["dataset"],
        task=facts["task"],
        question=task.question,
        facts=facts,
        ranked=standings["ranked"],
        reasons=tuple(standings["reasons"]),
        policy=standings["policy"],
        origin=build_origin(
            facts["source"], facts["suite"], committed=committed_names([standings])
        ),
        audit=_audit(standings),
        finding=build_finding(standings),
        tables=tables,
        trust=trust,
        passed_over=_passed_over(task.ranked, standings["sorted_by"], trust),
        duels=build_duels(standings, order),
        strata=build_strata(standings),
        signal=build_signal(standings["constants"]),
        novelty=build_novelty(dataset.novelty, board_id) if dataset else None,
        also=build_also(standings, data.metrics, others),
        controls=build_controls(standings, data.metrics, [*order, *others]),
        sorted_by=standings["sorted_by"],
        digest=dataset.digests.get(f"{facts['task']}-{facts['split']}", "") if dataset else "",
        unit=text.unit_word(facts["unit"], 1),
        units=f"{n_units} {text.unit_word(facts['unit'], n_units)}",
        twin=_twin(data, facts),
        absent=_absent(data, standings),
        strip=_strip(standings, tables),
        recall=build_recall(data.failures.get(board_id, {}), standings),
        unsolved=build_unsolved(data.failures.get(board_id, {}), standings),
    )


def _metrics(data: SiteData, standings: Mapping[str, Any]) -> tuple[list[str], list[str]]:
    """Return the metrics that may rank, in the order of the page, and those that never do."""
    found = standings["metrics"]
    order = data.tasks[standings["board"]["task"]].ranked
    may_rank = [m for m in found if data.metrics[m].is_ranked]
    place = {m: k for k, m in enumerate(order)}
    may_rank.sort(
        key=lambda m: (m != standings["sorted_by"], not found[m]["ranks"], place.get(m, len(place)))
    )
    return may_rank, sorted(set(found) - set(may_rank), key=lambda m: str(found[m]["label"]))


def _passed_over(
    order: Sequence[str], sorted_by: str | None, trust: Sequence[Trust]
) -> tuple[Trust, ...]:
    before = order[: order.index(sorted_by)] if sorted_by in order else ()
    return tuple(found for found in trust if found.name in before)


def _n_units(standings: Mapping[str, Any], order: Sequence[str]) -> int:
    """Return the units of the sorting metric; where it has none, the most that any metric has."""
    counts = [len(metric["units"]) for metric in standings["metrics"].values()]
    first = len(standings["metrics"][order[0]]["units"]) if order else 0
    return first or max(counts, default=0)


def _audit(standings: Mapping[str, Any]) -> Audit:
    found = standings["findings"]
    errors = sum(f["severity"] == "error" for f in found)
    warnings = sum(f["severity"] == "warning" for f in found)
    checks = text.plural(standings["n_checks"], "check")
    if not standings["n_checks"]:
        return Audit(state="warn", words="not audited", findings=())
    if errors:
        state, words = "fail", f"{text.plural(errors, 'error')} in {checks}"
    elif warnings:
        state, words = "warn", f"{text.plural(warnings, 'warning')} in {checks}"
    else:
        state, words = "pass", f"all {checks} passed"
    return Audit(state=state, words=words, findings=tuple(merge_folds(found)))


def merge_folds(found: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Say what several folds have in common once; errors first."""
    folds: dict[tuple[Any, ...], list[int]] = {}
    for f in found:
        key = (f["severity"], f["board"], f["check"], f["message"], tuple(f["ids"]))
        folds.setdefault(key, []).append(f["fold"])
    return [
        {
            "severity": severity, "board": board, "check": check, "message": message, "ids": ids,
            "where": text.folds(folds[severity, board, check, message, ids]),
        }
        for severity, board, check, message, ids in sorted(folds, key=lambda k: k[0] != "error")
    ]  # fmt: skip


def _twin(data: SiteData, facts: Mapping[str, Any]) -> str:
    stem = f"{facts['dataset']}-{facts['task']}-"
    split = facts["split"]
    other = stem + (split.removeprefix("random-") if facts["is_random"] else f"random-{split}")
    return other if other in data.standings else ""


def _absent(data: SiteData, standings: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    """List entries that could answer the board's task but have no row, with the reason."""
    facts = standings["board"]
    present = {row["entry"] for row in standings["rows"]}
    absent = []
    for name, entry in data.entries.items():
        if facts["id"] in entry.facts["skip"]:
            absent.append((name, f"not applicable: {entry.facts['skip'][facts['id']]}"))
        elif facts["task"] in entry.tasks and name not in present and not entry.is_controls:
            absent.append((name, "not run"))
    return tuple(absent)


def _strip(standings: Mapping[str, Any], tables: Sequence[MetricTable]) -> Drawing | None:
    if not tables or tables[0].axis is None:
        return None
    metric = tables[0].name
    means = {
        row["entry"]: row["metrics"][metric]["value"]
        for row in standings["rows"]
        if row["kind"] == "model" and row["metrics"][metric]["value"] is not None
    }
    return draw(
        tables[0].axis, {"value": tables[0].axis.floor, "low": None, "high": None, "units": means}
    )
