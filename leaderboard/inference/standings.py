"""One board's score rows, constants and audit to its standings; pure, plain values out."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

import numpy as np
import pandas as pd

from leaderboard.inference._paired import MIN_UNITS, Difference, estimate, ratio_estimate
from leaderboard.inference.comparison import Comparison, compare_metric, without_tables
from leaderboard.inference.evidence import BoardEvidence, EntryFacts, metric_names, unit_table
from leaderboard.inference.flags import barred, flags_of
from leaderboard.inference.strata import sizes, strata_of, stratum_means
from leaderboard.metrics import METRICS
from leaderboard.tasks import TASKS

SMALL = 5
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


def policy(n_units: int) -> str:
    """Return what may be printed for a number of units."""
    if n_units < MIN_UNITS:
        return f"points only, no interval: {n_units} unit(s)"
    if n_units <= SMALL:
        return f"{n_units} units: t intervals, {n_units - 1} degrees of freedom; few ranks resolve"
    return f"{n_units} units: paired t verdicts, Bonferroni-t rank sets"


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
        "weights": facts.weights,
        "is_adversary": facts.is_adversary,
        "exposure": facts.exposure,
        "exposure_evidence": facts.exposure_evidence,
        "status": "failed" if len(failed) else "complete" if len(own) else "not run",
        "reason": str(failed.iloc[0]) if len(failed) else "",
        "metrics": {m: _cell(name, facts, _rows(evidence, name, m), metrics[m]) for m in metrics},
    }


def _rows(evidence: BoardEvidence, name: str, metric: str) -> pd.DataFrame:
    """Return one entry's score rows of one metric in ranking units."""
    return evidence.entry_rows.get((name, metric), evidence.scores.iloc[:0])


def _cell(
    name: str, facts: EntryFacts, rows: pd.DataFrame, board: Mapping[str, Any]
) -> dict[str, Any]:
    """Return one entry's numbers on one metric; blank where it has none."""
    table: pd.DataFrame = board["table"]
    undefined = rows.loc[rows["status"] == "undefined", "reason"]
    reason = str(undefined.iloc[0]) if len(undefined) else ""
    values = table.loc[name].dropna() if name in table.index else pd.Series(dtype=float)
    if values.empty:
        failed = rows.loc[rows["status"] == "failed", "reason"]
        ran = "not run" if board["units"] else "no unit of this board ranks"
        if facts.is_adversary and rows.empty:
            ran = "adversaries attack only metrics that may rank"
        reason = reason or (str(failed.iloc[0]) if len(failed) else ran)
        return {"value": None, "reason": reason, "coverage": 0.0}
    counts: pd.DataFrame | None = board["counts"]
    found = estimate(values.to_numpy(dtype=np.float64))
    if counts is not None:
        n = counts.loc[[name], list(values.index)].to_numpy(dtype=np.float64)[0]
        found = ratio_estimate(values.to_numpy(dtype=np.float64), n)
    comparison: Comparison = board["comparison"]
    low, high = comparison.ranks.get(name, (None, None))
    is_ranked = board["ranks"] and facts.kind != "control"
    return {
        "value": found.mean,
        "low": found.low,
        "high": found.high,
        "n": found.n,
        "scaled": _scaled(found.mean, board),
        "coverage": len(values) / max(len(table.columns), 1),
        "reason": reason,
        "units": {str(unit): float(v) for unit, v in values.items()},
        "seed_sd": _seed_sd(rows),
        "rank_low": low if is_ranked else None,
        "rank_high": high if is_ranked else None,
        "verdict": comparison.verdicts.get(name, "not judged") if is_ranked else "not judged",
        "differences": [_plain(d) for d in comparison.differences.get(name, [])],
    }


def _scaled(mean: float, board: Mapping[str, Any]) -> float | None:
    span = board["ceiling"] - board["floor"]
    if span == 0 or (span > 0) != board["higher_is_better"]:
        return None
    return float((mean - board["floor"]) / span)


def _seed_sd(rows: pd.DataFrame) -> float | None:
    if rows["seed"].nunique() < 2:
        return None
    means = rows.groupby("seed")["value"].mean().dropna()
    return float(means.std()) if len(means) > 1 else None


def _plain(found: Difference) -> dict[str, Any]:
    return {
        "baseline": found.baseline,
        "mean": found.estimate.mean,
        "low": found.estimate.low,
        "high": found.estimate.high,
        "n": found.estimate.n,
        "p_better": found.p_better,
        "p_worse": found.p_worse,
        "p_sign_flip": found.p_sign_flip,
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
    """Sort by the board's metric, blanks last; equal values by id."""

    def key(row: dict[str, Any]) -> tuple[bool, float, str]:
        value = row["metrics"][sorted_by]["value"] if sorted_by else None
        if sorted_by is None or value is None:
            return True, 0.0, row["entry"]
        return False, -value if metrics[sorted_by]["higher_is_better"] else value, row["entry"]

    return sorted(rows.values(), key=key)
