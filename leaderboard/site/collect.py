"""Read the files of the pipeline, recomputed and committed, as the records of the site."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from leaderboard import layout
from leaderboard.audit._similarity import plain_rows
from leaderboard.config import DatasetRecord, Params, read_datasets, read_resource
from leaderboard.io import read_failures, read_json, read_parquet, sha256_file
from leaderboard.metrics import METRICS
from leaderboard.models import MODELS
from leaderboard.site.records import (
    DatasetFacts,
    EntryRecord,
    MetricText,
    ResourceText,
    Result,
    SiteData,
    TaskText,
)
from leaderboard.tasks import TASKS

RECOMPUTED = "known_truth"
DATASET_FACTS = "_dataset.json"
FAILURE_TABLES = (".failures.csv", ".failures.csv.gz")


def collect(params: Params, entries: Mapping[str, Mapping[str, Any]]) -> SiteData:
    """Return all that the site shows.

    Parameters
    ----------
    entries
        ``entry.yaml`` of every entry in the tree, by id; results of others are left out.
    """
    standings = {path.stem: read_json(path) for path in sorted(layout.STANDINGS.glob("*.json"))}
    boards = list(params.all_boards().values())
    tasks = {name: _task(name) for name in sorted({board.task for board in boards})}
    shown = {m for found in standings.values() for m in found["metrics"]}
    shown |= {m for task in tasks.values() for m in task.ranked}
    return SiteData(
        release=params.release,
        boards=boards,
        standings=standings,
        datasets=_datasets(),
        entries={name: _entry(name, facts) for name, facts in sorted(entries.items())},
        results=[*_recomputed(params, set(entries)), *_committed(params, set(entries))],
        tasks=tasks,
        metrics={name: _metric(name) for name in sorted(shown)},
        failures={path.stem: read_json(path) for path in sorted(layout.FAILURES.glob("*.json"))},
    )


def _task(name: str) -> TaskText:
    task = TASKS[name]
    ranked = tuple(m for m in task.ranked_order if METRICS[m].is_ranked)
    return TaskText(label=task.label, question=task.question, ranked=ranked)


def _metric(name: str) -> MetricText:
    metric = METRICS[name]
    return MetricText(
        label=metric.label,
        citation=metric.citation,
        is_ranked=metric.is_ranked,
        is_pooled=metric.is_pooled,
        is_whole=metric.is_whole,
    )


def _entry(name: str, facts: Mapping[str, Any]) -> EntryRecord:
    models = list(facts["plugins"]) if facts["kind"] == "controls" else [facts["model"]]
    tasks = sorted({task for model in models if model in MODELS for task in MODELS[model].tasks})
    tables = sorted({r for m in models if m in MODELS for r in MODELS[m].resources})
    return EntryRecord(
        id=name, facts=facts, tasks=tuple(tasks), resources=tuple(map(_resource, tables))
    )


def _resource(name: str) -> ResourceText:
    record = read_resource(name)
    return ResourceText(
        id=name,
        title=record.title,
        repository_licence=record.licence.repository,
        data_licence=record.licence.data,
        citation=record.citation.text,
        doi=record.citation.doi or "",
    )


def _datasets() -> dict[str, DatasetFacts]:
    digests = read_json(layout.SPLITS_LOCK) if layout.SPLITS_LOCK.is_file() else {}
    return {
        name: _dataset(suite, name, record, digests.get(name, {}))
        for suite, records in read_datasets().items()
        for name, record in sorted(records.items())
    }


def _dataset(
    suite: str, name: str, record: DatasetRecord, digests: Mapping[str, str]
) -> DatasetFacts:
    if suite == RECOMPUTED:
        validation = _read_if_there(layout.validation(suite, name))
        audit = _read_if_there(layout.audit(suite, name))
        novelty = _novelty(layout.novelty(suite, name))
        shared = _read_if_there(layout.duplicates(suite, name))
        if audit is not None and shared is not None:
            audit = [*audit, *shared["findings"]]
    else:
        published = _read_if_there(_results_of(name) / DATASET_FACTS) or {}
        validation, audit = published.get("validation"), published.get("audit")
        novelty = published.get("novelty", [])
    return DatasetFacts(
        name=name,
        suite=suite,
        source="recomputed" if suite == RECOMPUTED else "committed",
        record=record,
        validation=validation,
        audit=audit,
        novelty=novelty,
        digests=dict(digests),
    )


def _novelty(path: Path) -> list[dict[str, Any]]:
    return plain_rows(read_parquet(path)) if path.is_file() else []


def _recomputed(params: Params, known: set[str]) -> Iterator[Result]:
    for dataset in sorted(params.boards):
        for entry in sorted(known):
            scores = layout.scores(RECOMPUTED, dataset, entry)
            if not scores.is_file():
                continue
            run = _read_if_there(layout.run(RECOMPUTED, dataset, entry))
            yield Result(
                entry=entry,
                dataset=dataset,
                source="recomputed",
                facts=read_json(layout.entry_facts(RECOMPUTED, dataset, entry)),
                run=run,
                code_commit=str(run["tags"].get("git_commit", "")) if run else "",
                scores_sha256=sha256_file(scores),
                failures=_failures(layout.failures(RECOMPUTED, dataset, entry)),
            )


def _committed(params: Params, known: set[str]) -> Iterator[Result]:
    for dataset in sorted(params.boards):
        for path in sorted(_results_of(dataset).glob("*.json")):
            if path.stem not in known:
                continue
            published = read_json(path)
            yield Result(
                entry=path.stem,
                dataset=dataset,
                source="committed",
                facts=published["entry"],
                run=published["run"],
                code_commit=str(published["code_commit"]),
                scores_sha256="",
                boards=published["boards"],
                failures=_failures(*(path.with_suffix(end) for end in FAILURE_TABLES)),
            )


def _results_of(dataset: str) -> Path:
    return layout.RESULTS / dataset


def _read_if_there(path: Path) -> Any:
    return read_json(path) if path.is_file() else None


def _failures(*paths: Path) -> list[dict[str, Any]]:
    """Return the rows of the first table that is there."""
    path = next((p for p in paths if p.is_file()), None)
    rows = [] if path is None else read_failures(path).to_dict("records")
    return [{str(k): v for k, v in row.items()} for row in rows]
