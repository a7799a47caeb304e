"""Which entries of a board are ranked against one another, by a rule that looks at no score."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from leaderboard.inference.evidence import EntryFacts

MAX_FAMILY = 15
"""More entries could not be separated by a handful of units: every pair costs certainty."""


@dataclass(frozen=True, kw_only=True)
class Family:
    """The entries that get rank sets, and why the other eligible ones get a verdict only."""

    members: tuple[str, ...]
    outside: Mapping[str, str]


def is_eligible(facts: EntryFacts) -> bool:
    """Return whether an entry may be judged and ranked: reproduced, no control, not barred."""
    is_reproduced = facts.kind != "control" and facts.verification == "reproduced"
    return is_reproduced and not facts.is_barred


def choose_family(
    facts: Mapping[str, EntryFacts], complete: Collection[str], declared: Sequence[str]
) -> Family:
    """Return the family of a board.

    The declared baselines come first: ranks are read against them. Then models, then other simple
    baselines; inside each by earliest release, then id. Of one team's entries of one model only
    the first is a member, so that variants of a model cannot fill the family. Baselines are the
    maintainers' own and are not so limited.

    Parameters
    ----------
    facts
        Every entry of the board.
    complete
        Those with a value in every ranking unit.
    declared
        The baselines that verdicts of the task are judged against.
    """

    def place(name: str) -> tuple[int, str, str]:
        kind = 0 if name in declared else 1 if facts[name].kind == "model" else 2
        return kind, facts[name].release, name

    members: list[str] = []
    outside: dict[str, str] = {}
    taken: dict[tuple[tuple[str, ...], str], str] = {}
    for name in sorted((n for n in complete if is_eligible(facts[n])), key=place):
        own = facts[name]
        work = (own.authors, own.model)
        if own.kind == "model" and all(work) and work in taken:
            outside[name] = f"{taken[work]} is of the same team and model"
        elif len(members) == MAX_FAMILY:
            outside[name] = f"the family has its {MAX_FAMILY} entries"
        else:
            members.append(name)
            taken.setdefault(work, name)
    return Family(members=tuple(members), outside=outside)
