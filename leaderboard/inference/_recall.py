"""How well every cell type is found: recall pooled over units, with its interval by unit.

A cell is never the sample: an interval over cells would treat those of one donor as independent.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from leaderboard.errors import TableError
from leaderboard.inference._paired import ALPHA, MIN_UNITS, Values, ratio_estimate

MIN_CELLS = 10
"""With fewer cells a recall is printed as counts."""
N_CONFUSIONS = 3
RARE_FRACTION = 0.01
POOLED = -1
"""Fold of a unit whose cells are spread over folds."""
EQUAL = 1e-12
"""Spread below which units are alike."""


@dataclass(frozen=True, kw_only=True)
class LabelCells:
    """One entry's cells of one label that training held, by unit; means over seeds."""

    units: tuple[str, ...]
    n: Values
    found: Values

    @property
    def total(self) -> float:
        """Number of cells."""
        return float(self.n.sum())

    @property
    def recall(self) -> float | None:
        """Share of the cells that got their label; None without a cell."""
        return float(self.found.sum() / self.total) if self.total else None


def label_records(
    confusions: pd.DataFrame,
    constants: Mapping[str, Any],
    baselines: Sequence[str],
) -> list[dict[str, Any]]:
    """Return one record a label, rare ones first, then by number of cells.

    Parameters
    ----------
    confusions
        Rows of kind ``confusion`` of one board: entry, fold, seed, unit, subject (true label),
        key (predicted label) and n (cells).
    constants
        Frozen constants of the board; ``rare`` and ``classes`` say which labels are rare.
    baselines
        Entries that a label's best simple baseline is chosen from.
    """
    if confusions.empty:
        return []
    rows = _averaged(confusions)
    seen, unseen = _by_exposure(rows)
    cells = _cells(seen)
    one = rows["entry"].min()
    sizes, hidden = (_label_sizes(part[part["entry"] == one]) for part in (rows, unseen))
    records = [
        {
            "label": label,
            "cells": n,
            "unseen_cells": hidden.get(label, 0.0),
            "rare": _why_rare(label, n / sum(sizes.values()), constants),
            "entries": _entries(label, cells, seen, baselines),
        }
        for label, n in sizes.items()
    ]
    return sorted(records, key=lambda r: (not r["rare"], r["cells"], r["label"]))


def _averaged(rows: pd.DataFrame) -> pd.DataFrame:
    """Divide cells by the entry's seeds, so that sums over rows are means over seeds."""
    n_seeds = rows.groupby("entry")["seed"].transform("nunique")
    return rows.assign(n=rows["n"] / n_seeds)


def _by_exposure(rows: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Split rows by whether the fold's training held the label.

    Every group is tested once, so a label that is tested in one fold only was in no training cell
    of that fold. Of units that are spread over folds nothing can be told: they count as held.
    """
    if rows["fold"].nunique() < 2:
        return rows, rows.iloc[:0]
    folds = rows.groupby("subject")["fold"]
    is_alone = (folds.transform("nunique") == 1) & (rows["fold"] != POOLED)
    return rows[~is_alone], rows[is_alone]


def _label_sizes(rows: pd.DataFrame) -> dict[str, float]:
    sizes = rows.groupby("subject")["n"].sum()
    return {str(label): float(n) for label, n in sizes.items()}


def _cells(rows: pd.DataFrame) -> dict[tuple[str, str], LabelCells]:
    """Return cells and hits by unit, for every entry and label."""
    keys = ["entry", "subject", "unit"]
    right = rows["n"].where(rows["subject"] == rows["key"], 0.0)
    table = rows.assign(found=right).groupby(keys, sort=True)[["n", "found"]].sum().reset_index()
    return {
        (str(key[0]), str(key[1])): LabelCells(
            units=tuple(map(str, part["unit"])),
            n=part["n"].to_numpy(dtype=np.float64),
            found=part["found"].to_numpy(dtype=np.float64),
        )
        for key, part in table.groupby(["entry", "subject"], sort=True)
    }


def _why_rare(label: str, share: float, constants: Mapping[str, Any]) -> str:
    """Say why a label is rare; blank if it is not."""
    reasons = []
    if label not in constants.get("classes", ()):
        reasons.append("outside the ranked classes")
    if share < RARE_FRACTION:
        reasons.append("under 1 % of the cells")
    return ", ".join(reasons)


def _entries(
    label: str,
    cells: Mapping[tuple[str, str], LabelCells],
    rows: pd.DataFrame,
    baselines: Sequence[str],
) -> dict[str, Any]:
    own = {entry: found for (entry, name), found in cells.items() if name == label}
    mistaken = rows[(rows["subject"] == label) & (rows["key"] != label)]
    records = {}
    for entry, found in own.items():
        best = best_of(own, [b for b in baselines if b != entry])
        records[entry] = {
            **recall_record(found),
            "confusions": _confusions(mistaken[mistaken["entry"] == entry], found),
            "baseline": best,
            "difference": None if best is None else _difference(label, found, own[best]),
        }
    return records


def best_of(cells: Mapping[str, LabelCells], names: Iterable[str]) -> str | None:
    """Return the entry with the largest recall; of equals the first by id."""
    known = {n: cells[n].recall for n in sorted(names) if n in cells}
    given = {n: r for n, r in known.items() if r is not None}
    return max(given, key=lambda n: given[n]) if given else None


def recall_record(found: LabelCells) -> dict[str, Any]:
    """Return recall, 95 % interval by unit within [0, 1], counts, and what is odd about it."""
    low, high, reason = _interval(found)
    return {
        "recall": found.recall,
        "low": None if low is None else max(low, 0.0),
        "high": None if high is None else min(high, 1.0),
        "reason": reason,
        "found": float(found.found.sum()),
        "cells": found.total,
        "units": len(found.units),
    }


def _interval(found: LabelCells) -> tuple[float | None, float | None, str]:
    if found.total < MIN_CELLS:
        return None, None, f"under {MIN_CELLS} cells: counts only"
    if len(found.units) < MIN_UNITS:
        return None, None, f"no interval: {len(found.units)} unit(s)"
    share = found.found / found.n
    if np.ptp(share) < EQUAL:
        return _bounds(float(share[0]), len(found.units))
    estimate = ratio_estimate(share, found.n)
    return estimate.low, estimate.high, ""


def _bounds(share: float, n_units: int) -> tuple[float | None, float | None, str]:
    """Return exact bounds where all units are at 0 or all at 1, so that a t interval is a point.

    The mean recall is at most the share of units in which anything is found, and at least that in
    which everything is: Clopper and Pearson 1934 (doi:10.1093/biomet/26.4.404) bound those.
    """
    reach = 1 - (ALPHA / 2) ** (1 / n_units)
    words = f"the same in all {n_units} units: exact bound over units"
    if share == 0:
        return 0.0, reach, words
    if share == 1:
        return 1 - reach, 1.0, words
    return None, None, f"no interval: the same in all {n_units} units"


def _difference(label: str, own: LabelCells, other: LabelCells) -> dict[str, Any]:
    """Return the difference of two pooled recalls, paired by unit, with its t interval.

    Raises
    ------
    TableError
        If the two entries did not answer the same cells.
    """
    if own.units != other.units or not np.allclose(own.n, other.n):
        raise TableError(
            f"{label}: one entry has {own.total:g} cells in {len(own.units)} units, another "
            f"{other.total:g} in {len(other.units)}. All must answer every test cell of a board; "
            "score both again on the same cases."
        )
    gap = (own.found - other.found) / own.n
    estimate = ratio_estimate(gap, own.n)
    is_told = own.total >= MIN_CELLS and float(np.ptp(gap)) >= EQUAL
    return {
        "mean": estimate.mean,
        "low": estimate.low if is_told else None,
        "high": estimate.high if is_told else None,
    }


def _confusions(mistaken: pd.DataFrame, found: LabelCells) -> list[dict[str, Any]]:
    """Return the labels that most cells were taken for, and the unit with most of such cells."""
    if mistaken.empty:
        return []
    by_unit = mistaken.groupby(["key", "unit"])["n"].sum()
    totals = by_unit.groupby("key").sum()
    order = sorted(map(str, totals.index), key=lambda key: (-totals[key], key))
    size = dict(zip(found.units, found.n, strict=True))
    records = []
    for key in order[:N_CONFUSIONS]:
        units = by_unit[key].sort_index()
        worst = str(units.idxmax())
        records.append(
            {
                "label": key,
                "cells": float(totals[key]),
                "share": float(totals[key]) / found.total,
                "units": len(units),
                "worst_unit": worst,
                "worst_unit_cells": float(units[worst]),
                "worst_unit_of": float(size[worst]),
            }
        )
    return records
