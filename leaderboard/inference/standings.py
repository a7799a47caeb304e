"""One board's score rows, constants and audit to its standings; pure, plain values out."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from leaderboard.inference._paired import (
    MIN_UNITS,
    Difference,
    difference,
    estimate,
    holm,
    rank_sets,
    verdict,
)
from leaderboard.metrics import METRICS
from leaderboard.spec import Board, Metric
from leaderboard.tasks import TASKS

MAX_FAMILY = 15
"""Entries whose ranks are compared; more could not be separated by a handful of units."""
SMALL = 5


@dataclass(frozen=True, kw_only=True)
class EntryFacts:
    """What ranking needs to know of an entry besides its scores."""

    name: str
    kind: str
    """``baseline``, ``model`` or ``control``."""
    tier: str
    verification: str
    weights: str


@dataclass(frozen=True, kw_only=True)
class BoardEvidence:
    """All that the standings of one board derive from."""

    board: Board
    suite: str
    release: str
    source: str
    """``recomputed`` by this run of the pipeline, or ``committed`` results."""
    scores: pd.DataFrame
    """Score rows of the board, every entry."""
    constants: Mapping[str, Any]
    findings: Sequence[Mapping[str, Any]] = ()
    entries: Mapping[str, EntryFacts] = field(default_factory=dict)


def build_standings(evidence: BoardEvidence, random: BoardEvidence | None) -> dict[str, Any]:
    """Return the standings of a board; ``random`` is its random twin, for the inflation."""
    board = evidence.board
    metrics = {name: _metric(evidence, METRICS[name]) for name in _metric_names(evidence)}
    order = TASKS[board.task].ranked_order
    trusted = [m for m in order if m in metrics and metrics[m]["ranks"]]
    sorted_by = next(iter(trusted), next((m for m in order if m in metrics), None))
    reasons = _unranked(evidence, metrics, trusted)
    for metric in metrics.values():
        metric["ranks"] = metric["ranks"] and not reasons
    rows = {name: _row(evidence, name, metrics) for name in sorted(evidence.entries)}
    _add_inflation(rows, evidence, random)
    return {
        "board": _board(evidence),
        "ranked": not reasons,
        "reasons": reasons,
        "sorted_by": sorted_by,
        "metrics": {name: _without_tables(m) for name, m in metrics.items()},
        "findings": [f for f in evidence.findings if f["severity"] != "ok"],
        "n_checks": len(evidence.findings),
        "policy": policy(len(metrics[sorted_by]["units"]) if sorted_by else 0),
        "rows": _sorted(rows, metrics, sorted_by),
        "constants": {
            k: v for k, v in evidence.constants.items() if k not in {"metrics", "class_units"}
        },
    }


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


def _metric_names(evidence: BoardEvidence) -> list[str]:
    names = sorted(evidence.scores["metric"].unique())
    order = TASKS[evidence.board.task].ranked_order
    return sorted(names, key=lambda m: (order.index(m) if m in order else len(order), m))


def unit_table(evidence: BoardEvidence, metric: str) -> pd.DataFrame:
    """Return values (entries x ranking units), seeds averaged; NaN where undefined."""
    rows = evidence.scores[evidence.scores["metric"] == metric]
    rows = rows[rows["stratum"] == "all"]
    rows = rows[rows["unit"].isin(_ranking_units(evidence))]
    return rows.pivot_table(
        index="entry", columns="unit", values="value", aggfunc="mean", dropna=False
    ).dropna(axis=1, how="all")


def _ranking_units(evidence: BoardEvidence) -> list[str]:
    """Return the responders of a perturbation board, else every unit."""
    units = evidence.constants.get("responders", evidence.scores["unit"].unique())
    return sorted(map(str, units))


def _metric(evidence: BoardEvidence, metric: Metric) -> dict[str, Any]:
    frozen = evidence.constants["metrics"][metric.name]
    table = _with_failed(unit_table(evidence, metric.name), evidence, metric)
    saturated = [
        name
        for name in TASKS[evidence.board.task].declared_baselines
        if name in table.index and _reaches_ceiling(table.loc[name], frozen, metric)
    ]
    reason = str(frozen["reason"])
    if not reason and saturated:
        reason = f"saturated: {', '.join(saturated)} within the interval of the ceiling"
    if not reason and not metric.is_ranked:
        reason = "shown, not ranked"
    return {
        "label": metric.label,
        "higher_is_better": metric.higher_is_better,
        "display": "exp" if metric.display(0.0) == 1.0 else "identity",
        "display_note": metric.display_note,
        "floor": frozen["floor"],
        "ceiling": frozen["ceiling"],
        "ceiling_low": frozen["ceiling_low"],
        "ceiling_high": frozen["ceiling_high"],
        "ceiling_kind": frozen["ceiling_kind"],
        "trusted": frozen["trusted"],
        "saturated": bool(saturated),
        "ranks": not reason,
        "reason": reason,
        "units": list(map(str, table.columns)),
        "ranking_units": _ranking_units(evidence),
        "table": table,
        "comparison": _compare(evidence, table, metric),
    }


def _without_tables(metric: Mapping[str, Any]) -> dict[str, Any]:
    return {k: v for k, v in metric.items() if k not in {"table", "comparison", "ranking_units"}}


def _reaches_ceiling(values: Any, frozen: Mapping[str, Any], metric: Metric) -> bool:
    mean = float(np.mean(values))
    if metric.higher_is_better:
        return mean >= float(frozen["ceiling_low"])
    return mean <= float(frozen["ceiling_high"])


def _with_failed(table: pd.DataFrame, evidence: BoardEvidence, metric: Metric) -> pd.DataFrame:
    """Give a failed entry the worse of the floor and the lowest complete entry on every unit."""
    failed = _failed(evidence.scores)
    if not failed or table.empty:
        return table
    floor = evidence.constants["metrics"][metric.name]["floor"]
    complete = table.drop(index=[n for n in failed if n in table.index])
    worst = complete.min() if metric.higher_is_better else complete.max()
    filled = worst.clip(upper=floor) if metric.higher_is_better else worst.clip(lower=floor)
    rows = pd.DataFrame([filled] * len(failed), index=failed)
    return pd.concat([complete, rows]).sort_index()


def _failed(scores: pd.DataFrame) -> list[str]:
    return sorted(scores.loc[scores["status"] == "failed", "entry"].unique())


@dataclass(frozen=True, kw_only=True)
class _Comparison:
    """Differences, verdicts and rank sets of one metric."""

    differences: Mapping[str, list[Difference]]
    verdicts: Mapping[str, str]
    ranks: Mapping[str, tuple[int, int]]


def _complete_rows(table: pd.DataFrame, names: Sequence[str]) -> dict[str, np.ndarray]:
    """Return the values of the named entries that have one in every unit."""
    whole = table.loc[[n for n in names if n in table.index]].dropna()
    return {str(name): row.to_numpy(dtype=np.float64) for name, row in whole.iterrows()}


def _compare(evidence: BoardEvidence, table: pd.DataFrame, metric: Metric) -> _Comparison:
    failed = _failed(evidence.scores)
    eligible = [
        name
        for name, facts in evidence.entries.items()
        if facts.kind != "control" and facts.verification == "reproduced" and name not in failed
    ]
    values = _complete_rows(table, sorted(eligible))
    declared = [b for b in TASKS[evidence.board.task].declared_baselines if b in values]
    differences = {
        name: [
            difference(row, values[b], b, higher_is_better=metric.higher_is_better)
            for b in declared
            if b != name
        ]
        for name, row in _complete_rows(table, sorted(table.index)).items()
    }
    judged = {
        name: max(d.p_better for d in differences[name] if d.p_better is not None)
        for name in values
        if evidence.entries[name].kind == "model"
        and any(d.p_better is not None for d in differences[name])
    }
    adjusted = holm(judged)
    family = dict(list(values.items())[:MAX_FAMILY])
    is_resolvable = len(table.columns) >= MIN_UNITS
    return _Comparison(
        differences=differences,
        verdicts={n: verdict(differences[n], adjusted.get(n)) for n in differences},
        ranks=rank_sets(family, higher_is_better=metric.higher_is_better) if is_resolvable else {},
    )


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
        "status": "failed" if len(failed) else "complete" if len(own) else "not run",
        "reason": str(failed.iloc[0]) if len(failed) else "",
        "metrics": {m: _cell(name, facts, own, m, metrics[m]) for m in metrics},
    }


def _cell(
    name: str, facts: EntryFacts, own: pd.DataFrame, metric: str, board: Mapping[str, Any]
) -> dict[str, Any]:
    """Return one entry's numbers on one metric; blank where it has none."""
    table: pd.DataFrame = board["table"]
    rows = own[(own["metric"] == metric) & own["unit"].isin(board["ranking_units"])]
    undefined = rows.loc[rows["status"] == "undefined", "reason"]
    reason = str(undefined.iloc[0]) if len(undefined) else ""
    values = table.loc[name].dropna() if name in table.index else pd.Series(dtype=float)
    if values.empty:
        failed = rows.loc[rows["status"] == "failed", "reason"]
        reason = reason or (str(failed.iloc[0]) if len(failed) else "not run")
        return {"value": None, "reason": reason, "coverage": 0.0}
    found = estimate(values.to_numpy(dtype=np.float64))
    comparison: _Comparison = board["comparison"]
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
    reasons = []
    if evidence.board.is_random:
        reasons.append("cells, not groups, were held out: shown as inflation only")
    errors = sorted({f"{f['check']}" for f in evidence.findings if f["severity"] == "error"})
    if errors:
        reasons.append(f"the audit found errors: {', '.join(errors)}")
    if not trusted:
        ranked = [m for m in metrics if METRICS[m].is_ranked]
        reasons += [f"{metrics[m]['label']}: {metrics[m]['reason']}" for m in ranked]
    return reasons


def _add_inflation(
    rows: Mapping[str, dict[str, Any]], evidence: BoardEvidence, random: BoardEvidence | None
) -> None:
    """Add random minus grouped to every cell, paired by unit."""
    if random is None:
        return
    for metric in _metric_names(evidence):
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
