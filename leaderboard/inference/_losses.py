"""Units in which an entry does worst, or worse than the best simple baseline, and unsolved ones."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

N_WORST = 5
RESOLUTION = 1e-6
"""Leads this small are the rounding of float32 predictions."""
FLOOR = "floor"
SOLVED_RECALL = 0.5
"""A cell type that an entry finds less often than this is not solved by it."""


@dataclass(frozen=True, kw_only=True)
class Values:
    """One metric of a board: what entries score in every unit."""

    table: pd.DataFrame
    """Entries x units, NaN where undefined."""
    counts: pd.DataFrame
    """Number of scored cells (edges on network boards), same shape."""
    declared: Sequence[str]
    """The simple baselines that the board declares."""
    floor: float
    sign: float
    """1 if higher is better, else -1."""

    def of(self, entry: str) -> dict[str, float]:
        """Return the values of one entry by unit, where it has any."""
        return {str(unit): float(v) for unit, v in self.table.loc[entry].dropna().items()}

    def reference(self, entry: str) -> str | None:
        """Return the declared baseline with the best mean over units, other than the entry."""
        means = self.table.mean(axis=1)
        known = [b for b in sorted(self.declared) if b in means.index and b != entry]
        known = [b for b in known if pd.notna(means[b])]
        return max(known, key=lambda b: self.sign * means[b]) if known else None


def losses_of(values: Values, entry: str) -> dict[str, Any]:
    """Return an entry's worst units, and those in which it is below the best declared baseline.

    A unit alone has no interval: these are points, sorted from the worst.
    """
    own, baseline = values.of(entry), values.reference(entry)
    other = {} if baseline is None else values.of(baseline)
    sizes = values.counts.loc[entry].to_dict()
    units: list[dict[str, Any]] = [
        {
            "unit": unit,
            "value": value,
            "n": float(sizes[unit]),
            "baseline_value": other.get(unit),
            "difference": values.sign * (value - other[unit]) if unit in other else None,
        }
        for unit, value in own.items()
    ]
    compared = [u for u in units if u["difference"] is not None]
    lost = [u for u in compared if u["difference"] < -RESOLUTION]
    return {
        "baseline": baseline,
        "units": len(units),
        "compared": len(compared),
        "lost": len(lost),
        "worst": sorted(units, key=lambda u: (values.sign * u["value"], u["unit"]))[:N_WORST],
        "worst_lost": sorted(lost, key=lambda u: (u["difference"], u["unit"]))[:N_WORST],
    }


def lost_labels(labels: Sequence[Mapping[str, Any]], entry: str) -> dict[str, Any]:
    """Return the cell types that an entry finds less often than the best simple baseline.

    The baseline is the best one of each type on these data, which leans against the entry; it
    surely loses where the whole interval of the paired difference is below zero.
    """
    found = [
        {"label": label["label"], "baseline": own["baseline"], **own["difference"]}
        for label in labels
        if (own := label["entries"].get(entry)) is not None and own["difference"] is not None
    ]
    lost = [row for row in found if row["mean"] < 0]
    return {
        "compared": len(found),
        "lost": len(lost),
        "surely": sum(row["high"] is not None and row["high"] < 0 for row in lost),
        "worst": sorted(lost, key=lambda row: (row["mean"], row["label"]))[:N_WORST],
    }


def unsolved_units(values: Values) -> dict[str, Any]:
    """Return the units that no entry solves, and those that one entry alone does.

    A unit is solved by an entry that does better in it than the floor and than every declared
    baseline. Where a board has no other entry, a declared baseline need only beat the floor.
    """
    others = [e for e in values.table.index if e not in set(values.declared)]
    rows = [_solvers(values, unit, others) for unit in values.table.columns]
    return {
        "units": len(rows),
        "rule": "declared baselines" if others else "floor",
        "nobody": sorted((r for r in rows if not r["solvers"]), key=_hardest),
        "one": sorted((r for r in rows if len(r["solvers"]) == 1), key=_hardest),
    }


def _hardest(row: Mapping[str, Any]) -> tuple[bool, float, str]:
    """Sort first the units in which not even a baseline passes the floor, then by the gap."""
    return row["bar"] != FLOOR, row["gap"], row["unit"]


def _solvers(values: Values, unit: Any, others: Sequence[str]) -> dict[str, Any]:
    """Return who solves a unit, the best value of those who might, and the bar to be passed."""
    scores = (values.sign * values.table[unit]).dropna()
    bars = {FLOOR: values.sign * values.floor}
    candidates = list(map(str, scores.index))
    if others:
        bars |= {b: float(scores[b]) for b in values.declared if b in scores.index}
        candidates = [e for e in others if e in scores.index]
    bar = max(sorted(bars, key=lambda name: (name != FLOOR, name)), key=lambda name: bars[name])
    best = max(sorted(candidates), key=lambda e: float(scores[e]), default="")
    value = float(scores[best]) if best else None
    return {
        "unit": str(unit),
        "best": best,
        "value": None if value is None else values.sign * value,
        "bar": bar,
        "bar_value": values.sign * bars[bar],
        "gap": 0.0 if value is None else value - bars[bar],
        "n": float(values.counts[unit].max()),
        "solvers": sorted(e for e in candidates if float(scores[e]) > bars[bar] + RESOLUTION),
    }


def unsolved_labels(labels: Sequence[Mapping[str, Any]], min_cells: int) -> dict[str, Any]:
    """Return the cell types that no entry finds in half of their cells, and those that one does.

    Of types with fewer than ``min_cells`` cells that training held, a recall says too little.
    """
    rows = [row for row in map(_finders, labels) if row["cells"] >= min_cells]
    return {
        "labels": len(rows),
        "nobody": [r for r in rows if not r["solvers"]],
        "one": [r for r in rows if len(r["solvers"]) == 1],
    }


def _finders(label: Mapping[str, Any]) -> dict[str, Any]:
    recall = {e: r["recall"] for e, r in label["entries"].items() if r["recall"] is not None}
    best = max(sorted(recall), key=lambda e: recall[e]) if recall else ""
    return {
        "label": label["label"],
        "cells": label["cells"] - label["unseen_cells"],
        "best": best,
        "recall": recall.get(best),
        "solvers": sorted(e for e, value in recall.items() if value >= SOLVED_RECALL),
    }
