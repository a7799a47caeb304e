"""Read the score tables of both suites, recomputed and committed, as evidence for boards."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from leaderboard import layout
from leaderboard.audit._entries import (
    Exposure,
    KnownData,
    exposure_of,
    other_names,
    shared_cells,
)
from leaderboard.config import Params, read_datasets, suite_of
from leaderboard.errors import TableError
from leaderboard.freeze import check_constants
from leaderboard.inference.committed import (
    check_beside,
    check_frozen,
    check_record,
    failures_beside,
    read_record,
    score_tables,
)
from leaderboard.inference.evidence import BoardEvidence, EntryFacts
from leaderboard.inference.failures import KINDS
from leaderboard.io import read_failures, read_json, read_scores
from leaderboard.models import MODELS
from leaderboard.spec import Board

RECOMPUTED = "known_truth"
CONTROLS = "controls"
GATE = ("responders", "weak", "noise", "reliability")
DATASET_FACTS = "_dataset.json"
"""In ``leaderboard/results/<dataset>``: contract report, composition and audit, as published."""


@dataclass(frozen=True, kw_only=True)
class Scored:
    """One entry's scores on one dataset, and what it said of itself when it was scored."""

    id: str
    scores: pd.DataFrame
    entry: Mapping[str, Any]
    release: str = ""
    """Of committed results; what is recomputed has no earlier one."""
    source: str
    """``recomputed`` by this build, or ``committed``."""
    exposure: Exposure
    """Whether it saw the dataset before."""
    failures: pd.DataFrame
    """Of the kinds that are derived from."""


def collect(params: Params, lock: Mapping[str, Any], known: Sequence[str]) -> list[BoardEvidence]:
    """Return the evidence of every board that has scores.

    Parameters
    ----------
    lock
        Frozen constants by board id (``config.read_board_locks``).
    known
        Ids of the entries in the tree; scores of others are left out.

    Raises
    ------
    FreezeError
        If a recomputed constant differs from the frozen one.
    TableError
        If scores name a board that is not frozen, or committed results do not belong to the tree.
    """
    boards = []
    data = known_data()
    for dataset in sorted(params.boards):
        suite = suite_of(dataset)
        scored = _scored(suite, dataset, known, _Tree(params=params, lock=lock, data=data))
        if not scored:
            continue
        for board_id, found in _constants(suite, dataset).items():
            check_constants(lock.get(board_id, {}), found, board_id)
        findings = _findings(suite, dataset)
        for board in params.boards_of(dataset):
            if board.id not in lock:
                raise TableError(f"{board.id} has scores but is not frozen; run `heldout freeze`.")
            constants = {**gate_of_twin(board, lock), **lock[board.id]}
            boards.append(_evidence(board, suite, params.release, scored, constants, findings))
    return boards


def gate_of_twin(board: Board, lock: Mapping[str, Any]) -> dict[str, Any]:
    """Return which units of a random board count: those of the grouped board that it matches."""
    twin = lock.get(board.grouped_id, {}) if board.is_random else {}
    return {key: twin[key] for key in GATE if key in twin}


def ignored(known: Sequence[str]) -> list[str]:
    """Return the score tables whose entries are not in the tree."""
    folders = [*(layout.DATA / "scores" / RECOMPUTED).glob("*"), *layout.RESULTS.glob("*")]
    return sorted(
        path.as_posix()
        for folder in folders
        for name, path in score_tables(folder).items()
        if name not in known
    )


def _folder(suite: str, dataset: str) -> Path:
    if suite == RECOMPUTED:
        return layout.DATA / "scores" / suite / dataset
    return layout.RESULTS / dataset


def known_data() -> KnownData:
    """Return by what names corpora may list our datasets, and which of them share cells."""
    records = {d: r for suite in read_datasets().values() for d, r in suite.items()}
    return KnownData(
        names={d: other_names(d, r.accession, r.citation.doi) for d, r in records.items()},
        shared=shared_cells({d: _shared(d) for d in records}),
    )


def _shared(dataset: str) -> Sequence[Mapping[str, Any]]:
    """Return what a published dataset holds in common with others; simulated ones share nothing."""
    path = layout.RESULTS / dataset / DATASET_FACTS
    rows: Sequence[Mapping[str, Any]] = read_json(path).get("shared", ()) if path.is_file() else ()
    return rows


@dataclass(frozen=True, kw_only=True)
class _Tree:
    """What committed results are held against."""

    params: Params
    lock: Mapping[str, Any]
    data: KnownData


def _scored(suite: str, dataset: str, known: Sequence[str], tree: _Tree) -> list[Scored]:
    """Return the scores of a dataset; on simulated data those recomputed, then the full tier's."""
    if suite != RECOMPUTED:
        return list(_committed(dataset, known, tree))
    recomputed = list(_recomputed(dataset, known, tree.data))
    if not recomputed:  # no constants and no audit either, so nothing to rank beside
        return []
    rows = pd.concat([scored.scores for scored in recomputed])
    return [*recomputed, *_committed(dataset, known, tree, rows)]


def _recomputed(dataset: str, known: Sequence[str], data: KnownData) -> Iterator[Scored]:
    for name, path in score_tables(_folder(RECOMPUTED, dataset)).items():
        if name in known:
            entry = read_json(layout.entry_facts(RECOMPUTED, dataset, name))
            yield Scored(
                id=name,
                scores=read_scores(path),
                entry=entry,
                source="recomputed",
                exposure=exposure_of(entry, dataset, data),
                failures=_failures(path),
            )


def _committed(
    dataset: str, known: Sequence[str], tree: _Tree, recomputed: pd.DataFrame | None = None
) -> Iterator[Scored]:
    """Yield committed results; those of simulated data must fit the rows ``recomputed``."""
    for name, path in score_tables(layout.RESULTS / dataset).items():
        if name not in known:
            continue
        record, scores = read_record(path), read_scores(path)
        check_record(path, record, scores, tree.params.boards_of(dataset))
        check_frozen(path, record, scores, tree.lock)
        if recomputed is not None:
            constants = _constants(RECOMPUTED, dataset)
            check_beside(path, record, scores, recomputed, constants)
        yield Scored(
            id=name,
            scores=scores,
            entry=record["entry"],
            release=record["release"],
            source="committed",
            exposure=exposure_of(record["entry"], dataset, tree.data),
            failures=_failures(path),
        )


def _failures(scores: Path) -> pd.DataFrame:
    """Return the failure rows that stand beside a score table."""
    rows = read_failures(failures_beside(scores))
    return rows[rows["kind"].isin(KINDS)]


def _constants(suite: str, dataset: str) -> Mapping[str, Any]:
    path = _folder(suite, dataset) / layout.constants(suite, dataset).name
    found: Mapping[str, Any] = read_json(path) if path.is_file() else {}
    return found


def _findings(suite: str, dataset: str) -> Sequence[Mapping[str, Any]]:
    if suite == RECOMPUTED:
        recomputed: Sequence[Mapping[str, Any]] = read_json(layout.audit(suite, dataset))
        return [*recomputed, *read_json(layout.duplicates(suite, dataset))["findings"]]
    published: Sequence[Mapping[str, Any]] = read_json(layout.RESULTS / dataset / DATASET_FACTS)[
        "audit"
    ]
    return published


def _evidence(
    board: Board,
    suite: str,
    release: str,
    scored: Sequence[Scored],
    constants: Mapping[str, Any],
    findings: Sequence[Mapping[str, Any]],
) -> BoardEvidence:
    tables = [s.scores[s.scores["board"] == board.id] for s in scored]
    scores = pd.concat(tables, ignore_index=True)
    failures = [s.failures[s.failures["board"] == board.id] for s in scored]
    present = set(scores["entry"])
    facts = {f.id: f.facts for s in scored for f in _facts(s)}
    return BoardEvidence(
        board=board,
        suite=suite,
        release=release,
        source="recomputed" if suite == RECOMPUTED else "committed",
        scores=scores,
        constants=constants,
        findings=[f for f in findings if f["board"] == board.id],
        entries={name: facts[name] for name in sorted(present)},
        failures=pd.concat([f for f in failures if len(f)] or failures[:1], ignore_index=True),
    )


@dataclass(frozen=True, kw_only=True)
class _Named:
    id: str
    facts: EntryFacts


def _facts(scored: Scored) -> Iterator[_Named]:
    """Yield the facts of an entry, or of every plug-in of the controls."""
    entry = scored.entry
    common = {
        "tier": entry["tier"],
        "verification": "reproduced",
        "weights": entry["weights"],
        "source": scored.source,
    }
    if entry["kind"] == CONTROLS:
        for plugin in entry["plugins"]:
            model = MODELS[plugin]
            facts = EntryFacts(
                name=model.label, kind="control", is_adversary=model.is_adversary, **common
            )
            yield _Named(id=plugin, facts=facts)
        return
    facts = EntryFacts(
        name=entry["name"],
        kind="baseline" if entry["baseline"] else "model",
        authors=tuple(sorted(entry["authors"])),
        model=str(entry["model"]),
        release=scored.release,
        exposure=scored.exposure.status,
        exposure_evidence=scored.exposure.evidence,
        **common,
    )
    yield _Named(id=scored.id, facts=facts)
