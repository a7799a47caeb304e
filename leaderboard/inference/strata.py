"""Named parts of a board's test set: what is reported beside the mean over all ranking units."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pandas as pd

from leaderboard.audit._similarity import novelty_bin

OUTSIDE = ("weak", "noise")
"""Strata of units that do not rank."""
Place = tuple[int, str]
"""Fold and unit."""


def strata_of(constants: Mapping[str, Any]) -> dict[str, frozenset[Place]]:
    """Return the (fold, unit) pairs of every stratum of a board, from its frozen constants.

    Strata by label (``combo_seen1``) and by novelty hold units that rank; ``weak`` and ``noise``
    are the units that do not.
    """
    novelty: Mapping[str, Mapping[str, float]] = constants.get("novelty", {})
    ranking: set[str] = set(constants.get("responders", ()))
    has_gate = "responders" in constants
    found: dict[str, set[Place]] = {}
    for name, by_fold in constants.get("strata", {}).items():
        places = {(int(k), unit) for k, units in by_fold.items() for unit in units}
        found[name] = {p for p in places if not has_gate or p[1] in ranking}
    for fold, distances in novelty.items():
        for unit, distance in distances.items():
            if unit in ranking:
                found.setdefault(novelty_bin(distance), set()).add((int(fold), unit))
            for name in OUTSIDE:
                if unit in constants.get(name, ()):
                    found.setdefault(name, set()).add((int(fold), unit))
    return {name: frozenset(places) for name, places in sorted(found.items()) if places}


def stratum_means(
    scores: pd.DataFrame, strata: Mapping[str, frozenset[Place]]
) -> dict[tuple[str, str], dict[str, dict[str, float | int]]]:
    """Return mean and number of (fold, unit) pairs by (entry, metric), then stratum.

    ``scores`` are the rows of one board; seeds are averaged first.
    """
    used = scores[scores["status"] == "ok"]
    if not strata or used.empty:
        return {}
    keys = ["entry", "metric", "fold", "unit"]
    values = used.groupby(keys, sort=True)["value"].mean().reset_index()
    place = pd.Series(list(zip(values["fold"], values["unit"].astype(str), strict=True)))
    found: dict[tuple[str, str], dict[str, dict[str, float | int]]] = {}
    for name, members in strata.items():
        chosen = values[place.isin(members).to_numpy()]
        for key, mean, n in _means(chosen):
            found.setdefault(key, {})[name] = {"value": mean, "n": n}
    return found


def _means(values: pd.DataFrame) -> Iterator[tuple[tuple[str, str], float, int]]:
    grouped = values.groupby(["entry", "metric"])["value"].agg(["mean", "size"])
    for key, row in zip(grouped.index, grouped.itertuples(index=False), strict=True):
        yield (str(key[0]), str(key[1])), float(row[0]), int(row[1])


def sizes(strata: Mapping[str, Sequence[Place] | frozenset[Place]]) -> dict[str, int]:
    """Return the number of (fold, unit) pairs of every stratum."""
    return {name: len(places) for name, places in strata.items()}
