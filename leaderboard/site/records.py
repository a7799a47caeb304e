"""What the pages are made of: plain records, read by ``collect``, never by a page."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from leaderboard.config import DatasetRecord
from leaderboard.spec import Board

SourceWord = Literal["recomputed", "committed"]
"""Whether this build computed a result, or read it from committed files."""


@dataclass(frozen=True, kw_only=True)
class ResourceText:
    """An outside table that an entry reads."""

    id: str
    title: str
    repository_licence: str
    """Of the file as packaged."""
    data_licence: str
    """Of the table itself."""
    citation: str
    doi: str


@dataclass(frozen=True, kw_only=True)
class EntryRecord:
    """One entry of the tree."""

    id: str
    facts: Mapping[str, Any]
    """The content of ``entry.yaml``."""
    tasks: tuple[str, ...] = ()
    """Tasks that its models answer."""
    resources: tuple[ResourceText, ...] = ()
    """Outside tables that its models read."""

    @property
    def is_controls(self) -> bool:
        """Whether it holds the control entries, which never rank."""
        return bool(self.facts["kind"] == "controls")

    @property
    def kind(self) -> str:
        """``controls``, ``baseline`` or ``model``."""
        if self.is_controls:
            return "controls"
        return "baseline" if self.facts["baseline"] else "model"


@dataclass(frozen=True, kw_only=True)
class Result:
    """What is known of one entry on one dataset besides its standings."""

    entry: str
    dataset: str
    source: SourceWord
    facts: Mapping[str, Any]
    """The entry as it was when it was scored."""
    run: Mapping[str, Any] | None
    """The run record; None if there is none."""
    code_commit: str
    scores_sha256: str
    """Of the score table; blank where only digests by board are known."""
    boards: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """Committed results: digests of split, predictions and scores by board."""
    failures: Sequence[Mapping[str, Any]] = ()


@dataclass(frozen=True, kw_only=True)
class DatasetFacts:
    """One dataset with what validation and audit found."""

    name: str
    suite: str
    source: SourceWord
    record: DatasetRecord
    validation: Mapping[str, Any] | None
    audit: Sequence[Mapping[str, Any]] | None
    novelty: Sequence[Mapping[str, Any]] = ()
    """Rows of the novelty table of its perturbation boards (``audit._similarity``)."""
    digests: Mapping[str, str] = field(default_factory=dict)
    """Digest of every frozen split, by ``<task>-<split>``."""


@dataclass(frozen=True, kw_only=True)
class TaskText:
    """A task in words."""

    label: str
    question: str
    ranked: tuple[str, ...] = ()
    """The metrics that may rank on its boards, as its tables are sorted."""


@dataclass(frozen=True, kw_only=True)
class MetricText:
    """What a page says of a metric on every board."""

    label: str
    citation: str
    is_ranked: bool
    """Whether it may rank where a board trusts it; else it is shown beside those that do."""
    is_pooled: bool = False
    """Whether its mean is a ratio over all units together, not a mean over units."""
    is_whole: bool = False
    """Whether it has one value for the whole board, and none by unit."""


@dataclass(frozen=True, kw_only=True)
class SiteData:
    """All that the site is made of."""

    release: str
    boards: Sequence[Board]
    """Every board of the release, with or without standings."""
    standings: Mapping[str, Mapping[str, Any]]
    """By board id."""
    datasets: Mapping[str, DatasetFacts]
    entries: Mapping[str, EntryRecord]
    results: Sequence[Result]
    tasks: Mapping[str, TaskText]
    metrics: Mapping[str, MetricText]
    """Every metric of the standings and every one that a task may rank by."""
    failures: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """By board id, what is derived from failure tables; boards without any are not in it."""
