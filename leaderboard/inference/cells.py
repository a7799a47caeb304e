"""One entry's numbers on one metric, as the standings carry them."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import numpy as np
import pandas as pd

from leaderboard.inference._paired import Difference, Estimate, estimate, ratio_estimate
from leaderboard.inference._seeds import MIN_SEEDS, over_seeds
from leaderboard.inference.evidence import BoardEvidence, EntryFacts, seed_table
from leaderboard.inference.judge import Comparison


def _rows(evidence: BoardEvidence, name: str, metric: str) -> pd.DataFrame:
    """Return one entry's score rows of one metric in ranking units."""
    return evidence.entry_rows.get((name, metric), evidence.scores.iloc[:0])


def build_cell(
    evidence: BoardEvidence, name: str, metric: str, board: Mapping[str, Any]
) -> dict[str, Any]:
    """Return one entry's numbers on one metric; blank where it has none.

    Parameters
    ----------
    board
        The metric as ``compare_metric`` returns it.
    """
    table: pd.DataFrame = board["table"]
    facts, rows = evidence.entries[name], _rows(evidence, name, metric)
    values = table.T[name].dropna() if name in table.index else pd.Series(dtype=float)
    reason = _reason(rows)
    if values.empty:
        return {"value": None, "reason": reason or _why_blank(facts, rows, board), "coverage": 0.0}
    found = _estimate(name, values, board["counts"])
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
        "unit_se": found.error,
        "seed_sd": _seed_sd(rows),
        "rank_low": low if is_ranked else None,
        "rank_high": high if is_ranked else None,
        "verdict": comparison.verdicts.get(name, "not judged") if is_ranked else "not judged",
        "hardest": _hardest(comparison, name) if is_ranked else None,
        "differences": [
            _plain(d) | _with_seeds(evidence, (name, d.baseline), metric, board)
            for d in comparison.differences.get(name, [])
        ],
    }


def _reason(rows: pd.DataFrame) -> str:
    undefined = rows.loc[rows["status"] == "undefined", "reason"]
    return str(undefined.iloc[0]) if len(undefined) else ""


def _why_blank(facts: EntryFacts, rows: pd.DataFrame, board: Mapping[str, Any]) -> str:
    """Say why an entry without a value, and without an undefined one, has none."""
    failed = rows.loc[rows["status"] == "failed", "reason"]
    if len(failed):
        return str(failed.iloc[0])
    if facts.is_adversary and rows.empty:
        return "adversaries attack only metrics that may rank"
    return "not run" if board["units"] else "no unit of this board ranks"


def _estimate(name: str, values: pd.Series, counts: pd.DataFrame | None) -> Estimate:
    found = values.to_numpy(dtype=np.float64)
    if counts is None:
        return estimate(found)
    weights = counts.loc[[name], list(values.index)].to_numpy(dtype=np.float64)[0]
    return ratio_estimate(found, weights)


def _hardest(comparison: Comparison, name: str) -> dict[str, Any] | None:
    """Return the declared baseline with the smallest lower bound, and the test of beating all."""
    found = [d for d in comparison.differences.get(name, []) if d.estimate.low is not None]
    if not found:
        return None
    least = min(found, key=lambda d: (d.estimate.low, d.baseline))
    return {
        "baseline": least.baseline,
        "mean": least.estimate.mean,
        "low": least.estimate.low,
        "p_every": comparison.p_all.get(name),
        "p_every_holm": comparison.p_holm.get(name),
    }


def _with_seeds(
    evidence: BoardEvidence, pair: tuple[str, str], metric: str, board: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the interval of a difference over units and seeds, where an entry has enough seeds.

    The other may have one: it then stands for itself, and seeds are the first one's alone.
    """
    if evidence.n_seeds < MIN_SEEDS:
        return {}
    one, other = (seed_table(evidence, name, metric) for name in pair)
    one, other = _for_seeds_of(one, other), _for_seeds_of(other, one)
    lead = (one - other).dropna(axis=1, how="all") * (1 if board["higher_is_better"] else -1)
    found = over_seeds(lead.to_numpy(dtype=np.float64))
    return {} if found is None else {"over_seeds": asdict(found)}


def _for_seeds_of(table: pd.DataFrame, other: pd.DataFrame) -> pd.DataFrame:
    """Return a table of one seed once for every seed of another."""
    if table.shape[1] != 1:
        return table
    return pd.DataFrame(dict.fromkeys(other.columns, table.iloc[:, 0]))


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
