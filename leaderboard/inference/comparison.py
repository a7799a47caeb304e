"""One metric of a board: its values, whether it ranks, and how entries compare on it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from leaderboard.inference._paired import (
    MIN_UNITS,
    Difference,
    difference,
    holm,
    rank_sets,
    verdict,
)
from leaderboard.inference.adversaries import duel, lost_to
from leaderboard.inference.evidence import BoardEvidence, unit_table
from leaderboard.spec import Metric
from leaderboard.tasks import TASKS

MAX_FAMILY = 15
"""Entries whose ranks are compared; more could not be separated by a handful of units."""
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
        "comparison": _compare(evidence, table, metric),
    }


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


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Differences, verdicts and rank sets of one metric."""

    differences: Mapping[str, list[Difference]]
    verdicts: Mapping[str, str]
    ranks: Mapping[str, tuple[int, int]]


def _complete_rows(table: pd.DataFrame, names: Sequence[str]) -> dict[str, np.ndarray]:
    """Return the values of the named entries that have one in every unit."""
    whole = table.loc[[n for n in names if n in table.index]].dropna()
    return {str(name): row.to_numpy(dtype=np.float64) for name, row in whole.iterrows()}


def _compare(evidence: BoardEvidence, table: pd.DataFrame, metric: Metric) -> Comparison:
    if not metric.is_ranked:
        return Comparison(differences={}, verdicts={}, ranks={})
    failed = evidence.failed
    eligible = [
        name
        for name, facts in evidence.entries.items()
        if facts.kind != "control" and facts.verification == "reproduced" and name not in failed
        if not facts.is_barred
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
    return Comparison(
        differences=differences,
        verdicts={n: verdict(differences[n], adjusted.get(n)) for n in differences},
        ranks=rank_sets(family, higher_is_better=metric.higher_is_better) if is_resolvable else {},
    )
