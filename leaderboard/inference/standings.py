"""One board's score rows, constants and audit to its standings; pure, plain values out."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

import numpy as np

from leaderboard.inference._paired import estimate
from leaderboard.inference.cells import build_cell
from leaderboard.inference.comparison import compare_metric, without_tables
from leaderboard.inference.evidence import BoardEvidence, metric_names, unit_table
from leaderboard.inference.flags import barred, flags_of
from leaderboard.inference.judge import policy
from leaderboard.inference.strata import sizes, strata_of, stratum_means
from leaderboard.metrics import METRICS
from leaderboard.tasks import TASKS

NOT_SHOWN = {"metrics", "class_units", "strata"}


def build_standings(evidence: BoardEvidence, random: BoardEvidence | None) -> dict[str, Any]:
    """Return the standings of a board; ``random`` is its random twin, for the inflation."""
    board = evidence.board
    flags = flags_of(evidence)
    evidence = _without_barred(evidence, barred(flags))
    metrics = {name: compare_metric(evidence, METRICS[name]) for name in metric_names(evidence)}
    order = TASKS[board.task].ranked_order
    trusted = [m for m in order if m in metrics and metrics[m]["ranks"]]
    sorted_by = next(iter(trusted), next((m for m in order if m in metrics), None))
    reasons = _unranked(evidence, metrics, trusted)
    for metric in metrics.values():
        metric["ranks"] = metric["ranks"] and not reasons
    rows = {name: _row(evidence, name, metrics) for name in sorted(evidence.entries)}
    _add_answers(metrics, rows)
    for name, row in rows.items():
        row["flags"] = [asdict(flag) for flag in flags.get(name, ())]
    _add_inflation(rows, evidence, random)
    strata = strata_of(evidence.constants)
    _add_strata(rows, evidence, strata)
    return {
        "board": _board(evidence),
        "ranked": not reasons,
        "reasons": reasons,
        "sorted_by": sorted_by,
        "metrics": {name: without_tables(m) for name, m in metrics.items()},
        "findings": [f for f in evidence.findings if f["severity"] != "ok"],
        "n_checks": len(evidence.findings),
        "strata": sizes(strata),
        "policy": policy(len(metrics[sorted_by]["units"]) if sorted_by else 0),
        "rows": _sorted(rows, metrics, sorted_by),
        "constants": {k: v for k, v in evidence.constants.items() if k not in NOT_SHOWN},
    }


def _without_barred(evidence: BoardEvidence, names: Collection[str]) -> BoardEvidence:
    """Mark the entries that must not rank."""
    if not names:
        return evidence
    entries = {n: replace(f, is_barred=n in names) for n, f in evidence.entries.items()}
    return replace(evidence, entries=entries)


def _board(evidence: BoardEvidence) -> dict[str, Any]:
    board = evidence.board
    return {
        "id": board.id,
        "dataset": board.dataset,
        "suite": evidence.suite,
        "task": board.task,
        "split": board.split_key,
        "unit": board.unit,
        "context": board.context,
        "note": board.note,
        "release": evidence.release,
        "source": evidence.source,
        "is_random": board.is_random,
    }


def _row(evidence: BoardEvidence, name: str, metrics: Mapping[str, Any]) -> dict[str, Any]:
    facts = evidence.entries[name]
    own = evidence.scores[evidence.scores["entry"] == name]
    failed = own.loc[own["status"] == "failed", "reason"]
    return {
        "entry": name,
        "name": facts.name,
        "kind": facts.kind,
        "tier": facts.tier,
        "verification": facts.verification,
        "source": facts.source or evidence.source,
        "weights": facts.weights,
        "is_adversary": facts.is_adversary,
        "exposure": facts.exposure,
        "exposure_evidence": facts.exposure_evidence,
        "status": "failed" if len(failed) else "complete" if len(own) else "not run",
        "reason": str(failed.iloc[0]) if len(failed) else "",
        "metrics": {m: build_cell(evidence, name, m, metrics[m]) for m in metrics},
    }


def _unranked(
    evidence: BoardEvidence, metrics: Mapping[str, Any], trusted: Sequence[str]
) -> list[str]:
    """Return every reason for which the board ranks nothing."""
    reasons = [evidence.board.unranked] if evidence.board.unranked else []
    if not metrics:
        reasons.append("no entry has been scored on it")
    errors = sorted({f"{f['check']}" for f in evidence.findings if f["severity"] == "error"})
    if errors:
        reasons.append(f"the audit found errors: {', '.join(errors)}")
    if evidence.board.is_random:
        reasons.append("cells, not groups, were held out: shown as inflation only")
    if not trusted and not evidence.board.is_random:
        ranked = [m for m in metrics if METRICS[m].is_ranked]
        reasons += [f"{metrics[m]['label']}: {metrics[m]['reason']}" for m in ranked]
    return reasons


def _add_answers(metrics: Mapping[str, dict[str, Any]], rows: Mapping[str, dict[str, Any]]) -> None:
    """Add to every metric who may be the best, who beats every baseline, and the check of ranks."""
    for name, metric in metrics.items():
        cells = {entry: row["metrics"][name] for entry, row in rows.items()}
        comparison = metric["comparison"]
        other = comparison.check if metric["ranks"] else {}
        metric["inseparable_from_best"] = [e for e, c in cells.items() if c.get("rank_low") == 1]
        metric["beats_every_baseline"] = [e for e, c in cells.items() if c.get("verdict") == "yes"]
        metric["check"] = {
            e: list(ranks) for e, ranks in other.items() if ranks != comparison.ranks[e]
        }


def _add_inflation(
    rows: Mapping[str, dict[str, Any]], evidence: BoardEvidence, random: BoardEvidence | None
) -> None:
    """Add random minus grouped to every cell, paired by unit."""
    if random is None:
        return
    for metric in metric_names(evidence):
        if METRICS[metric].is_pooled:
            continue
        grouped, dealt = unit_table(evidence, metric), unit_table(random, metric)
        for name, row in rows.items():
            if name in grouped.index and name in dealt.index:
                gap = (dealt.loc[name] - grouped.loc[name]).dropna().to_numpy(dtype=np.float64)
                if not len(gap):
                    continue
                found = estimate(gap)
                row["metrics"][metric]["inflation"] = {
                    "mean": found.mean, "low": found.low, "high": found.high, "n": found.n,
                }  # fmt: skip


def _add_strata(
    rows: Mapping[str, dict[str, Any]], evidence: BoardEvidence, strata: Mapping[str, Any]
) -> None:
    """Add the mean over the units of every stratum to every cell."""
    for (name, metric), means in stratum_means(evidence.scores, strata).items():
        if metric in rows[name]["metrics"]:
            rows[name]["metrics"][metric]["strata"] = means


def _sorted(
    rows: Mapping[str, dict[str, Any]], metrics: Mapping[str, Any], sorted_by: str | None
) -> list[dict[str, Any]]:
    """Sort by the board's metric, then incomplete rows, blanks last; equal values by id.

    A mean over fewer units is no better place: leaving hard units undefined must not pay.
    """

    def key(row: dict[str, Any]) -> tuple[bool, bool, float, str]:
        cell: Mapping[str, Any] = row["metrics"][sorted_by] if sorted_by else {"value": None}
        if sorted_by is None or cell["value"] is None:
            return True, True, 0.0, row["entry"]
        value: float = -cell["value"] if metrics[sorted_by]["higher_is_better"] else cell["value"]
        return False, cell["coverage"] < 1, value, row["entry"]

    return sorted(rows.values(), key=key)
