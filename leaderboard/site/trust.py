"""Which metrics a board trusts and why, and whether anything built to game them wins."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from leaderboard.site import text
from leaderboard.site.records import MetricText
from leaderboard.site.scale import Scale, numbers_of, scale_of

STATES = {
    "ranks": "pass",
    "trusted": "pass",
    "saturated": "warn",
    "not trusted": "warn",
    "gamed": "fail",
}
"""The states of a metric on a board, each with its mark."""


@dataclass(frozen=True, kw_only=True)
class Trust:
    """One metric of one board."""

    name: str
    label: str
    scale: Scale
    state: str
    mark: str
    reason: str
    """Why it does not rank, or what it has passed."""
    citation: str


@dataclass(frozen=True, kw_only=True)
class DuelCell:
    """An adversary against the best simple baseline on one metric."""

    is_met: bool
    """Whether the adversary has a value on this metric."""
    beats: bool
    value: str
    """Blank where the adversary has none."""
    baseline: str
    baseline_value: str
    units: str


@dataclass(frozen=True, kw_only=True)
class DuelTable:
    """Everything that was built to game the score, on every metric that may rank."""

    metrics: tuple[str, ...]
    rows: tuple[tuple[str, str, tuple[DuelCell, ...]], ...]
    """Entry, its name, one cell a metric."""
    refused: tuple[tuple[str, str], ...]
    """Name and reason of adversaries whose answer was refused."""
    n_held: int
    n_duels: int
    gamed: tuple[str, ...]
    """Labels of the metrics that an adversary wins."""


def build_trust(
    standings: Mapping[str, Any], texts: Mapping[str, MetricText], metrics: Sequence[str]
) -> tuple[Trust, ...]:
    """Return the state of every metric named."""
    return tuple(_trust(standings, texts[name], name) for name in metrics)


def _trust(standings: Mapping[str, Any], words: MetricText, name: str) -> Trust:
    metric = standings["metrics"][name]
    state = state_of(metric)
    reasons = [metric["reason"]] if metric["reason"] else []
    if state in {"ranks", "trusted"}:
        reasons = _passed(metric, state)
    elif state != "gamed" and (winners := _winners(standings, metric)):
        reasons.append(f"also gamed here by {winners}")
    return Trust(
        name=name,
        label=metric["label"],
        scale=scale_of(metric),
        state=state,
        mark=STATES[state],
        reason="; ".join(reasons),
        citation=words.citation,
    )


def _passed(metric: Mapping[str, Any], state: str) -> list[str]:
    games = "no adversary wins" if metric["duels"] else "no adversary has a value"
    board = ["the board as a whole ranks nothing"] if state == "trusted" else []
    return ["passes the trust gate", "no baseline reaches the ceiling", games, *board]


def state_of(metric: Mapping[str, Any]) -> str:
    """Name the state of a metric; the first that holds of those that cost it its rank."""
    if not metric["trusted"]:
        return "not trusted"
    if metric["saturated"]:
        return "saturated"
    if any(duel["beats"] for duel in metric["duels"]):
        return "gamed"
    if metric["ranks"]:
        return "ranks"
    return "not trusted" if metric["reason"] else "trusted"


def _names(standings: Mapping[str, Any]) -> dict[str, str]:
    return {row["entry"]: str(row["name"]) for row in standings["rows"]}


def _winners(standings: Mapping[str, Any], metric: Mapping[str, Any]) -> str:
    names = _names(standings)
    found = [duel["adversary"] for duel in metric["duels"] if duel["beats"]]
    return text.listing([names.get(name, name) for name in found])


def build_duels(standings: Mapping[str, Any], metrics: Sequence[str]) -> DuelTable:
    """Return every duel of a board; empty where no adversary ran."""
    names = _names(standings)
    found = {m: {d["adversary"]: d for d in standings["metrics"][m]["duels"]} for m in metrics}
    fighters = sorted({name for duels in found.values() for name in duels})
    used = [m for m in metrics if found[m]]
    duels = [d for m in used for d in found[m].values()]
    return DuelTable(
        metrics=tuple(str(standings["metrics"][m]["label"]) for m in used),
        rows=tuple(
            (name, names.get(name, name), tuple(_duel(standings, m, found[m].get(name), names)
                                                for m in used))
            for name in fighters
        ),
        refused=tuple(
            (str(row["name"]), str(row["reason"]))
            for row in standings["rows"]
            if row["is_adversary"] and row["status"] == "failed"
        ),
        n_held=sum(not d["beats"] for d in duels),
        n_duels=len(duels),
        gamed=tuple(
            str(standings["metrics"][m]["label"])
            for m in used
            if any(d["beats"] for d in found[m].values())
        ),
    )  # fmt: skip


def _duel(
    standings: Mapping[str, Any],
    name: str,
    duel: Mapping[str, Any] | None,
    names: Mapping[str, str],
) -> DuelCell:
    metric = standings["metrics"][name]
    if duel is None:
        return DuelCell(
            is_met=False, beats=False, value="", baseline="", baseline_value="", units=""
        )
    numbers = numbers_of(metric)
    n, of = duel["n"], len(metric["units"])
    return DuelCell(
        is_met=True,
        beats=duel["beats"],
        value=numbers.measure(duel["value"]),
        baseline=names.get(duel["baseline"], duel["baseline"]),
        baseline_value=numbers.measure(duel["baseline_value"]),
        units=f"{n} of {of}" if n < of else "",
    )
