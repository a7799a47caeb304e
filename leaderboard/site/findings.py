"""What a board says in one sentence: who may lead, and who beats every simple baseline."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from leaderboard.site import text

METHODS = {
    "bonferroni-t": "paired t, Bonferroni",
    "bootstrap max-T": "bootstrap max-T, Romano-Wolf step-down",
}


@dataclass(frozen=True, kw_only=True)
class Finding:
    """The sentence above a table, and its parts."""

    head: str
    rest: str
    note: str
    check: str
    """Whether another way to the rank sets agrees; blank where there is none."""
    leaders: tuple[str, ...]
    """Names of the entries that cannot be separated from the best."""
    is_baseline: bool
    """Whether the first of them is a simple baseline."""
    n_family: int
    beats: tuple[str, ...]
    n_models: int

    @property
    def separable(self) -> str:
        """Say in a word or two whether the lead is real."""
        if not self.leaders:
            return "no statement"
        if len(self.leaders) == self.n_family and self.n_family > 1:
            return "nobody can be separated"
        if len(self.leaders) > 1:
            return "not separable"
        return "a simple baseline, alone at the top" if self.is_baseline else "alone at the top"


def build_finding(standings: Mapping[str, Any], metric: str | None = None) -> Finding:
    """Return what the standings of a board say on a metric; None: on the one that sorts it."""
    metric = metric or standings["sorted_by"]
    family = [
        row
        for row in standings["rows"]
        if metric is not None and row["metrics"][metric].get("rank_low") is not None
    ]
    models = [
        row
        for row in standings["rows"]
        if row["kind"] == "model" and row["status"] == "complete" and metric is not None
    ]
    beats = tuple(r["name"] for r in models if r["metrics"][metric].get("verdict") == "yes")
    ranked = standings["ranked"]
    leaders = [row for row in family if row["metrics"][metric]["rank_low"] == 1] if ranked else []
    return Finding(
        head=_head(standings, leaders, len(family)),
        rest=_rest(beats, len(models)) if ranked else "",
        note=_note(standings, str(metric), len(family)) if leaders else "",
        check=_check(standings, str(metric)) if leaders else "",
        leaders=tuple(row["name"] for row in leaders),
        is_baseline=bool(leaders) and leaders[0]["kind"] == "baseline",
        n_family=len(family),
        beats=beats if ranked else (),
        n_models=len(models),
    )


def _head(standings: Mapping[str, Any], leaders: list[Any], n_family: int) -> str:
    if not standings["ranked"]:
        return f"Nothing is ranked here: {_because(standings)}."
    if not leaders:
        return f"No statement about ranks: {standings['policy']}."
    if len(leaders) == 1:
        only = leaders[0]
        role = ", a simple baseline," if only["kind"] == "baseline" else ""
        return f"{only['name']}{role} alone can be first."
    names = text.listing([row["name"] for row in leaders])
    if len(leaders) == n_family:
        return f"Nobody can be separated from the best: {names} may all be first."
    return f"{names} cannot be separated from the best."


def _because(standings: Mapping[str, Any]) -> str:
    """Return the reason that concerns the whole board, else say that no metric may rank."""
    reasons = [str(reason).rstrip(".") for reason in standings["reasons"]]
    labels = tuple(f"{metric['label']}:" for metric in standings["metrics"].values())
    whole = [reason for reason in reasons if not reason.startswith(labels)]
    if whole or len(reasons) == 1:
        return whole[0] if whole else reasons[0]
    return "no metric may rank, as said below"


def _rest(beats: tuple[str, ...], n_models: int) -> str:
    if n_models == 0:
        return "No model has been entered yet; simple baselines stand alone."
    if n_models == 1:
        not_shown = "" if beats else "not "
        return f"The one model here is {not_shown}shown to beat every simple baseline."
    of = text.plural(n_models, "model")
    if not beats:
        return f"Of {of}, none is shown to beat every simple baseline."
    verb = "beats" if len(beats) == 1 else "beat"
    return f"Of {of}, {len(beats)} {verb} every simple baseline: {text.listing(beats)}."


def _note(standings: Mapping[str, Any], metric: str, n_family: int) -> str:
    unit, found = standings["board"]["unit"], standings["metrics"][metric]
    n = len(found["units"])
    return (
        f"Joint 95 % statement over {n_family} entries and {n} {text.unit_word(unit, n)} "
        f"({METHODS[found['statistics']['rank_sets']]}). It holds for these folds of this dataset; "
        "it says nothing about another tissue, laboratory or protocol."
    )


def _check(standings: Mapping[str, Any], metric: str) -> str:
    """Say whether sign flips give the same rank sets; blank where they cannot tell."""
    found = standings["metrics"][metric]
    if found["statistics"]["check"] == "none":
        return ""
    if not found["check"]:
        return "Sign flips, which assume no distribution, give the same rank sets."
    names = {row["entry"]: row["name"] for row in standings["rows"]}
    sets = [
        f"{names[entry]} {text.ranks(low, high)}" for entry, (low, high) in found["check"].items()
    ]
    return f"Sign flips, which assume no distribution, give other sets: {text.listing(sets)}."
