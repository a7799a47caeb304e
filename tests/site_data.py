"""Records of a small site, built from synthetic score tables."""

import json
from collections.abc import Mapping
from dataclasses import replace
from html.parser import HTMLParser
from typing import Any

import numpy as np
import pandas as pd

from leaderboard.config import DatasetRecord
from leaderboard.inference.evidence import BoardEvidence, EntryFacts
from leaderboard.inference.standings import build_standings
from leaderboard.site.records import (
    DatasetFacts,
    EntryRecord,
    MetricText,
    Result,
    SiteData,
    TaskText,
)
from leaderboard.spec import Board

HOSTILE = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>"
DONORS = [f"D{k}" for k in range(8)]
LEVELS = {"logistic-regression": 0.80, "majority": 0.10, "nearest-centroid": 0.7, "net": 0.82}
ANNOTATION, PERTURBATION = "cell_type_annotation", "perturbation_prediction"


def facts(name: str, **changes: Any) -> dict[str, Any]:
    return {
        "schema": 1, "name": name, "description": f"About {name}.", "kind": "model", "model": "m",
        "parameters": {"k": 3}, "plugins": {}, "baseline": name != "net", "tier": "default",
        "state": "active", "authors": ["A. Author"], "licence": {"code": "MIT", "weights": "none"},
        "weights": "none", "pretraining": [], "exposure": {}, "skip": {}, **changes,
    }  # fmt: skip


def entry(name: str, **changes: Any) -> EntryRecord:
    return EntryRecord(id=name, facts=facts(name, **changes), tasks=(ANNOTATION,))


def rows(board: Board, metric: str, levels: Mapping[str, float]) -> pd.DataFrame:
    rng = np.random.default_rng(3)
    shift = dict(zip(DONORS, rng.normal(0, 0.02, len(DONORS)), strict=True))
    table = [
        {
            "entry": name, "board": board.id, "fold": k, "seed": 0, "metric": metric, "unit": unit,
            "stratum": "all", "value": level + shift[unit] + 0.004 * (k % 3) * (name == "net"),
            "n": 100, "status": "ok", "reason": "",
        }
        for name, level in levels.items()
        for k, unit in enumerate(DONORS)
    ]  # fmt: skip
    return pd.DataFrame(table)


def evidence(
    board: Board, *, metric: str = "macro_f1", levels: Mapping[str, float] = LEVELS, **changes: Any
) -> BoardEvidence:
    floor, ceiling = (0.1, 1.0) if metric == "macro_f1" else (0.0, -4.0)
    constants = {
        "floor": floor, "ceiling": ceiling, "ceiling_low": ceiling, "ceiling_high": ceiling,
        "ceiling_kind": "true labels", "trusted": True, "reason": "",
    }  # fmt: skip
    kinds = {"net": "model", "oracle": "control"}
    entries = {
        name: EntryFacts(
            name=name, kind=kinds.get(name, "baseline"), tier="default",
            verification="reproduced", weights="none",
        )
        for name in levels
    }  # fmt: skip
    fields: dict[str, Any] = {
        "suite": "known_truth", "release": "2026.1", "source": "recomputed",
        "scores": rows(board, metric, levels), "entries": entries,
        "constants": {"metrics": {metric: constants}, "classes": ["A", "B"]},
        "findings": [{"severity": "ok"}] * 5,
    }  # fmt: skip
    return BoardEvidence(board=board, **{**fields, **changes})


def dataset(name: str, **changes: Any) -> DatasetFacts:
    record = DatasetRecord.model_validate({
        "title": f"Title of {name}", "summary": "Cells.", "source": name, "parameters": {"seed": 1},
        "obs": ["donor_id", "library"], "library": "library", "expected": {"cells": 10, "genes": 5},
        "licence": {"repository": "MIT", "data": "unknown"},
        "citation": {"text": "Someone 2020", "doi": "10.1000/x.1"}, "organism": "Homo sapiens",
    })  # fmt: skip
    promise = {
        "promise": "Every cell has counts.", "success": True, "element_count": 10,
        "unexpected_count": 0, "first_ids": [], "problem": "",
    }  # fmt: skip
    validation = {
        "cells": 10, "genes": 5, "contracts": [{"contract": "counts", "results": [promise]}],
        "composition": {
            "columns": {"donor_id": {"D0": 4, "D1": 6}},
            "pairs": {"donor_id x batch": {"rows": ["D0", "D1"], "columns": ["b0", "b1"],
                                           "cells": [[4, 0], [0, 6]]}},
        },
    }  # fmt: skip
    fields: dict[str, Any] = {
        "name": name, "suite": "known_truth", "source": "recomputed", "record": record,
        "validation": validation,
        "audit": [{"check": "groups", "severity": "ok", "board": "b", "fold": 0, "n": 0, "ids": [],
                   "message": "none"}],
        "digests": {f"{ANNOTATION}-donor": "ab" * 32},
    }  # fmt: skip
    return DatasetFacts(**{**fields, **changes})


def failure(kind: str, board: str, **changes: Any) -> dict[str, Any]:
    fields = {
        "entry": "net", "board": board, "fold": 0, "seed": 0, "kind": kind, "unit": "D0",
        "subject": "A", "position": 0, "key": "B", "value": 0.5, "n": 20,
    }  # fmt: skip
    return {**fields, **changes}


def site(*, hostile: bool = False) -> SiteData:
    """A simulated board with its random twin, a committed real one, and one without scores."""
    boards = [
        Board(dataset="sim", task=ANNOTATION, split="donor", unit="donor_id", note="A note."),
        Board(dataset="sim", task=ANNOTATION, split="random", matches="donor", unit="donor_id"),
        Board(dataset="real", task=ANNOTATION, split="donor", unit="donor_id"),
        Board(dataset="empty", task=ANNOTATION, split="donor", unit="donor_id"),
    ]
    levels = {**LEVELS, "oracle": 1.0}
    found = [evidence(board, levels=levels) for board in boards[:2]]
    found.append(evidence(boards[2], suite="public_small", source="committed"))
    standings = {e.board.id: build_standings(e, None) for e in found}
    standings[boards[0].id] = build_standings(found[0], found[1])
    entries = {name: entry(name) for name in LEVELS}
    entries["controls"] = entry("controls", kind="controls", model=None, plugins={"oracle": {}})
    entries["later"] = entry("later", state="not_run", baseline=False)
    run = {"seconds": 90.0, "peak_memory_mb": 1500, "device": "cpu", "threads": 2,
           "mlflow_run": "f" * 32, "tags": {"dvc_cases": "c" * 32}}  # fmt: skip
    lists = [
        failure("confusion", boards[0].id),
        failure("confusion", boards[0].id, key="A", n=30),
        failure("confident_error", boards[0].id, value=0.97),
    ]
    data = SiteData(
        release="2026.1",
        boards=boards,
        standings=standings,
        datasets={
            "sim": dataset("sim"),
            "real": dataset("real", suite="public_small", source="committed"),
            "empty": dataset("empty", suite="public_small", source="committed", validation=None,
                             audit=None),
        },
        entries=dict(sorted(entries.items())),
        results=[
            Result(entry="net", dataset="sim", source="recomputed", facts=facts("net"), run=run,
                   code_commit="unknown", scores_sha256="d" * 64, failures=lists),
            Result(entry="net", dataset="real", source="committed", facts=facts("net"), run=None,
                   code_commit="e" * 40, scores_sha256="",
                   boards={boards[2].id: {"predictions_sha256": "1" * 64}}),
        ],
        tasks={ANNOTATION: TaskText(label="Cell type annotation", question="Which cell is this?",
                                    ranked=("macro_f1",))},
        metrics={"macro_f1": MetricText(label="Macro F1", citation="Someone 2009",
                                        is_ranked=True)},
    )  # fmt: skip
    return _made_hostile(data) if hostile else data


def _made_hostile(data: SiteData) -> SiteData:
    changed = facts(
        HOSTILE, description=HOSTILE, authors=[HOSTILE], pretraining=[HOSTILE],
        parameters={HOSTILE: HOSTILE}, skip={data.boards[3].id: HOSTILE}, baseline=False,
        licence={"code": "javascript:alert(1)", "weights": HOSTILE},
        exposure={"sim": {"status": "unknown", "evidence": HOSTILE}},
    )  # fmt: skip
    swapped = json.loads(json.dumps(dict(data.standings)).replace('"D0"', json.dumps(HOSTILE)))
    for found in swapped.values():
        for row in found["rows"]:
            row["name"] = HOSTILE
    record = data.datasets["sim"].record.model_copy(update={"title": HOSTILE, "summary": HOSTILE})
    datasets = {**data.datasets, "sim": replace(data.datasets["sim"], record=record)}
    entries = {**data.entries, "net": EntryRecord(id="net", facts=changed, tasks=(ANNOTATION,))}
    lists = [
        failure(kind, data.boards[0].id, subject=HOSTILE, key=key, unit=HOSTILE)
        for kind, key in (("confusion", "javascript:alert(1)"), ("confident_error", HOSTILE))
    ]
    results = [replace(data.results[0], failures=lists), *data.results[1:]]
    return replace(data, standings=swapped, datasets=datasets, entries=entries, results=results)


class Reader(HTMLParser):
    """Collect what a browser would load, follow or run."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, {k: v or "" for k, v in attrs}))

    @property
    def ids(self) -> list[str]:
        return [attributes["id"] for _, attributes in self.tags if "id" in attributes]


def html_of(pages: Mapping[str, str]) -> dict[str, Reader]:
    return {path: Reader(body) for path, body in pages.items() if path.endswith(".html")}
