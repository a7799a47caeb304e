"""What the standings of a board derive from, and the tables of values it holds."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import pandas as pd

from leaderboard.audit._entries import Status
from leaderboard.io import FAILURE_COLUMNS
from leaderboard.metrics import METRICS
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
    authors: tuple[str, ...] = ()
    """Sorted."""
    model: str = ""
    """The plug-in that it runs."""
    release: str = ""
    """Of the results that it is ranked by; empty sorts first."""
    exposure: Status = "unseen"
    """Whether it saw the dataset before it was tested on it."""
    exposure_evidence: str = ""
    source: str = ""
    """As ``BoardEvidence.source``, of this entry's scores; blank: that of the board."""
    is_barred: bool = False
    """Whether the audit found an error about it on this board: no rank, no verdict."""


@dataclass(frozen=True, kw_only=True)
class BoardEvidence:
    """All that the standings of one board derive from."""

    board: Board
    suite: str
    release: str
    source: str
    """``recomputed`` by this run of the pipeline, or ``committed`` results; entries may differ."""
    scores: pd.DataFrame
    """Score rows of the board, every entry."""
    constants: Mapping[str, Any]
    findings: Sequence[Mapping[str, Any]] = ()
    entries: Mapping[str, EntryFacts] = field(default_factory=dict)
    failures: pd.DataFrame = field(default_factory=lambda: pd.DataFrame(columns=FAILURE_COLUMNS))
    """Failure rows of the board, every entry; of the kinds that are derived from."""

    @cached_property
    def ranking_units(self) -> list[str]:
        """The responders of a perturbation board, else every unit."""
        units = self.constants.get("responders", self.scores["unit"].unique())
        return sorted(map(str, units))

    @cached_property
    def ranking_rows(self) -> dict[str, pd.DataFrame]:
        """Score rows of ranking units by metric; of a whole board where a metric has none."""
        is_whole = self.scores["metric"].isin([m.name for m in METRICS.values() if m.is_whole])
        rows = self.scores[is_whole | self.scores["unit"].isin(self.ranking_units)]
        return {str(metric): found for metric, found in rows.groupby("metric", sort=False)}

    @cached_property
    def entry_rows(self) -> dict[tuple[str, str], pd.DataFrame]:
        """Score rows of ranking units by entry and metric."""
        return {
            (str(entry), metric): found
            for metric, rows in self.ranking_rows.items()
            for entry, found in rows.groupby("entry", sort=False)
        }

    @cached_property
    def n_seeds(self) -> int:
        """Number of seeds that were scored."""
        return int(self.scores["seed"].nunique())

    @cached_property
    def failed(self) -> list[str]:
        """The entries that failed anywhere on the board."""
        return sorted(self.scores.loc[self.scores["status"] == "failed", "entry"].unique())


def metric_names(evidence: BoardEvidence) -> list[str]:
    """Return the metrics of a board's scores, those that may sort it first."""
    names = sorted(evidence.scores["metric"].unique())
    order = TASKS[evidence.board.task].ranked_order
    return sorted(names, key=lambda m: (order.index(m) if m in order else len(order), m))


def unit_table(evidence: BoardEvidence, metric: str, values: str = "value") -> pd.DataFrame:
    """Return values (entries x ranking units), folds and seeds averaged; NaN where undefined."""
    rows = evidence.ranking_rows.get(metric, evidence.scores.iloc[:0])
    rows = rows[rows["stratum"] == "all"]
    return rows.pivot_table(
        index="entry", columns="unit", values=values, aggfunc="mean", dropna=False
    ).dropna(axis=1, how="all")


def seed_table(evidence: BoardEvidence, entry: str, metric: str) -> pd.DataFrame:
    """Return one entry's values (ranking units x seeds), folds averaged; NaN where undefined."""
    rows = evidence.entry_rows.get((entry, metric), evidence.scores.iloc[:0])
    rows = rows[rows["stratum"] == "all"]
    return rows.pivot_table(
        index="unit", columns="seed", values="value", aggfunc="mean", dropna=False
    )
