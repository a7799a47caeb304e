"""Whether this build computed the scores of a page, in words."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from leaderboard.site import text

SIMULATED = "known_truth"


@dataclass(frozen=True, kw_only=True)
class Origin:
    """Where scores come from."""

    is_recomputed: bool
    """Whether this build made them, be it but for some entries."""
    kind: str
    """``simulated`` or ``real``."""
    mark: str
    words: str
    long: str
    is_mixed: bool = False
    """Whether some entries come from committed results beside recomputed ones."""

    @property
    def short(self) -> str:
        """Kind of data and where the scores come from."""
        return f"{self.kind.capitalize()} data, {self.words}"


def build_origin(
    source: str, suite: str, *, has_results: bool = True, committed: Sequence[str] = ()
) -> Origin:
    """Say where scores come from; ``committed``: names of entries that the build did not score."""
    kind = "simulated" if suite == SIMULATED else "real"
    if not has_results:
        return _no_results(kind)
    if source != "recomputed":
        return _committed(kind)
    if committed:
        return _mixed(kind, committed)
    return Origin(
        is_recomputed=True,
        kind=kind,
        mark=f"{kind}, recomputed",
        words="recomputed by this build",
        long="Every score here was computed from the raw data by the build that wrote this page.",
    )


def committed_names(standings: Iterable[Mapping[str, Any]]) -> list[str]:
    """Return the names of the entries that any of the boards shows from committed results."""
    rows = (row for found in standings for row in found["rows"])
    return sorted({str(row["name"]) for row in rows if row["source"] == "committed"})


def _committed(kind: str) -> Origin:
    return Origin(
        is_recomputed=False,
        kind=kind,
        mark=f"{kind}, committed",
        words="from committed results",
        long="The scores were computed earlier and committed with their provenance; this build "
        "only derived intervals, verdicts and ranks from them.",
    )


def _mixed(kind: str, committed: Sequence[str]) -> Origin:
    few = text.plural(len(committed), "entry", "entries")
    return Origin(
        is_recomputed=True,
        is_mixed=True,
        kind=kind,
        mark=f"{kind}, part committed",
        words=f"recomputed by this build but for {few}",
        long="Scores were computed from the raw data by the build that wrote this page, but for "
        f"{text.listing(committed)}: run earlier, too slow for every build, and committed with "
        "provenance. This build checked that splits, constants and units are still the same; "
        "every row says which it is.",
    )


def _no_results(kind: str) -> Origin:
    return Origin(
        is_recomputed=False,
        kind=kind,
        mark=f"{kind}, no results",
        words="no results in this build",
        long="Nothing was scored on these data by this build, and no committed results are there.",
    )
