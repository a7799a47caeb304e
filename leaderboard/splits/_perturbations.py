"""Names of perturbations taken apart, and the folds of the single ones."""

from collections.abc import Iterable
from dataclasses import dataclass

import pandas as pd

from leaderboard.errors import SplitError
from leaderboard.spec import CONTROL, FoldRule
from leaderboard.splits._rules import fold_of_group

JOIN = "+"
SINGLES_PER_FOLD = 8
MIN_SINGLES = 4


@dataclass(frozen=True, kw_only=True)
class Names:
    """The perturbations of a screen: single ones, and combinations with their parts."""

    singles: frozenset[str]
    combinations: dict[str, frozenset[str]]

    @property
    def complete(self) -> list[str]:
        """Sorted combinations all parts of which are singles of the screen too."""
        return sorted(c for c, parts in self.combinations.items() if parts <= self.singles)


def read_names(perturbations: Iterable[str]) -> Names:
    """Tell singles from combinations.

    Raises
    ------
    SplitError
        If a combination goes by two names, which a split would take for two perturbations, or has
        the control or one perturbation twice among its parts.
    """
    names = sorted(set(perturbations) - {CONTROL})
    combinations = {n: frozenset(n.split(JOIN)) for n in names if JOIN in n}
    by_parts: dict[frozenset[str], str] = {}
    for name, parts in combinations.items():
        other = by_parts.setdefault(parts, name)
        odd = CONTROL in parts or len(parts) != name.count(JOIN) + 1
        if other != name or odd:
            raise SplitError(
                f"perturbation: {name!r} is "
                + ("no combination of perturbations" if odd else f"{other!r} by another name")
                + ". Let the dataset's reader give every perturbation one name."
            )
    return Names(singles=frozenset(names) - set(combinations), combinations=combinations)


def n_single_folds(n_singles: int, k: int) -> int:
    """At least 8 singles a fold, up to ``k`` folds; from 4 singles on never fewer than 2 folds.

    Below 16 singles a fold tests too few to rank anything: such boards are for declared negative
    controls, and the audit refuses to rank them.
    """
    return max(2, min(k, n_singles // SINGLES_PER_FOLD))


def fold_of_single(singles: Iterable[str], rule: FoldRule) -> "pd.Series[int]":
    """Deal single perturbations to folds; raise SplitError if there are fewer than 4."""
    names = sorted(set(singles))
    if len(names) < MIN_SINGLES:
        raise SplitError(
            f"perturbation: {len(names)} single perturbation(s); at least {MIN_SINGLES} are needed "
            "(2 folds, each with one to train on and one for validation). Leave this board out of "
            "params.yaml."
        )
    return fold_of_group(names, rule.seed, n_single_folds(len(names), rule.k), "perturbation")
