"""What the standings of a board derive from, and the tables of values it holds."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from leaderboard.spec import Board
from leaderboard.tasks import TASKS


@dataclass(frozen=True, kw_only=True)
class EntryFacts:
    """What ranking needs to know of an entry besides its scores."""

    name: str
    kind: str
    """``baseline``, ``model`` or ``control``."""
    tier: str
    verification: str
    weights: str
    is_adversary: bool = False


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


def metric_names(evidence: BoardEvidence) -> list[str]:
    """Return the metrics of a board's scores, those that may sort it first."""
    names = sorted(evidence.scores["metric"].unique())
    order = TASKS[evidence.board.task].ranked_order
    return sorted(names, key=lambda m: (order.index(m) if m in order else len(order), m))


def unit_table(evidence: BoardEvidence, metric: str, values: str = "value") -> pd.DataFrame:
    """Return values (entries x ranking units), folds and seeds averaged; NaN where undefined."""
    rows = evidence.scores[evidence.scores["metric"] == metric]
    rows = rows[rows["stratum"] == "all"]
    rows = rows[rows["unit"].isin(ranking_units(evidence))]
    return rows.pivot_table(
        index="entry", columns="unit", values=values, aggfunc="mean", dropna=False
    ).dropna(axis=1, how="all")


def ranking_units(evidence: BoardEvidence) -> list[str]:
    """Return the responders of a perturbation board, else every unit."""
    units = evidence.constants.get("responders", evidence.scores["unit"].unique())
    return sorted(map(str, units))


def failed_entries(scores: pd.DataFrame) -> list[str]:
    """Return the entries that failed anywhere on the board."""
    return sorted(scores.loc[scores["status"] == "failed", "entry"].unique())
