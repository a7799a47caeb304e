"""One metric of a board: its values, whether it ranks, and how entries compare on it."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from leaderboard.inference.adversaries import duel, lost_to
from leaderboard.inference.evidence import BoardEvidence, unit_table
from leaderboard.inference.family import Family, choose_family, is_eligible
from leaderboard.inference.judge import Comparison, Roles, judge, statistics_of
from leaderboard.spec import Metric
from leaderboard.tasks import TASKS

TABLES = {"table", "counts", "comparison"}


def compare_metric(evidence: BoardEvidence, metric: Metric) -> dict[str, Any]:
    """Return scale, trust, reason and tables of one metric; ``table`` is entries x units."""
    frozen = evidence.constants["metrics"][metric.name]
    table = _with_failed(unit_table(evidence, metric.name), evidence, metric)
    saturated = [
        name
        for name in TASKS[evidence.board.task].declared_baselines
        if name in table.index and _reaches_ceiling(table.loc[name], frozen, metric)
    ]
    duels = _duels(evidence, table, metric)
    reason = str(frozen["reason"])
    if not reason and saturated:
        reason = f"saturated: {', '.join(saturated)} within the interval of the ceiling"
    shown = "" if metric.is_ranked else "shown, not ranked"
    reason = reason or "; ".join(filter(None, (shown, lost_to(duels))))
    comparison, family = _compare(evidence, table, metric)
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
        "table": table,
        "counts": unit_table(evidence, metric.name, "n") if metric.is_pooled else None,
        "duels": duels,
        "statistics": statistics_of(len(table.columns)),
        "family": list(family.members),
        "outside_family": dict(family.outside),
        "baselines_missing": _missing(evidence, table),
        "comparison": comparison,
    }


def _missing(evidence: BoardEvidence, table: pd.DataFrame) -> list[str]:
    """Return the declared baselines on this board that no verdict was judged against."""
    whole = table.dropna().index
    return [
        name
        for name in TASKS[evidence.board.task].declared_baselines
        if name in evidence.entries and (name in evidence.failed or name not in whole)
    ]


def _duels(evidence: BoardEvidence, table: pd.DataFrame, metric: Metric) -> list[dict[str, Any]]:
    """Set adversaries against the simple baselines; on random boards nothing is at stake."""
    is_attacked = metric.is_ranked or TASKS[evidence.board.task].shows_adversaries
    if not is_attacked or evidence.board.is_random:
        return []
    failed = evidence.failed
    kinds = {n: f for n, f in evidence.entries.items() if n not in failed}
    return duel(
        table,
        [name for name, facts in kinds.items() if facts.is_adversary],
        [name for name, facts in kinds.items() if facts.kind == "baseline"],
        higher_is_better=metric.higher_is_better,
    )


def without_tables(metric: Mapping[str, Any]) -> dict[str, Any]:
    """Leave out what only the rows of the standings need."""
    return {k: v for k, v in metric.items() if k not in TABLES}


def _reaches_ceiling(values: Any, frozen: Mapping[str, Any], metric: Metric) -> bool:
    mean = float(np.mean(values))
    if metric.higher_is_better:
        return mean >= float(frozen["ceiling_low"])
    return mean <= float(frozen["ceiling_high"])


def _with_failed(table: pd.DataFrame, evidence: BoardEvidence, metric: Metric) -> pd.DataFrame:
    """Give a failed entry the worse of the floor and the lowest complete entry on every unit."""
    failed = [n for n in evidence.failed if (n, metric.name) in evidence.entry_rows]
    if not failed or table.empty:
        return table
    floor = evidence.constants["metrics"][metric.name]["floor"]
    complete = table.drop(index=[n for n in failed if n in table.index])
    worst = complete.min() if metric.higher_is_better else complete.max()
    filled = worst.clip(upper=floor) if metric.higher_is_better else worst.clip(lower=floor)
    rows = pd.DataFrame([filled] * len(failed), index=failed)
    return pd.concat([complete, rows]).sort_index()


def _complete_rows(table: pd.DataFrame) -> dict[str, np.ndarray]:
    """Return the values of the entries that have one in every unit."""
    return {str(name): row.to_numpy(dtype=np.float64) for name, row in table.dropna().iterrows()}


def _compare(
    evidence: BoardEvidence, table: pd.DataFrame, metric: Metric
) -> tuple[Comparison, Family]:
    """Compare the entries of a metric that may rank, and say who is in its family."""
    if not metric.is_ranked or not len(table.columns):
        return Comparison(), Family(members=(), outside={})
    values = _complete_rows(table.sort_index())
    facts = evidence.entries
    judgeable = [n for n in values if n not in evidence.failed and is_eligible(facts[n])]
    declared = [b for b in TASKS[evidence.board.task].declared_baselines if b in judgeable]
    family = choose_family(facts, judgeable, declared)
    roles = Roles(
        judged=[name for name in judgeable if facts[name].kind == "model"],
        declared=declared,
        family=family.members,
    )
    return judge(values, roles, higher_is_better=metric.higher_is_better), family
