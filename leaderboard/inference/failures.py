"""Where the entries of a board fail, one by one and all together; pure, plain values out."""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from leaderboard.errors import TableError
from leaderboard.inference._direction import direction_records
from leaderboard.inference._losses import (
    Values,
    losses_of,
    lost_labels,
    unsolved_labels,
    unsolved_units,
)
from leaderboard.inference._recall import MIN_CELLS, label_records
from leaderboard.inference.evidence import BoardEvidence, unit_table
from leaderboard.metrics import METRICS
from leaderboard.tasks import TASKS

KINDS = ("confusion", "direction", "protein")
"""Kinds of failure rows that are derived from here; pages show the others row by row."""
TOLERANCE = 1e-6
PROTEIN_FLOOR = 0.0
"""A correlation that knows nothing."""


def build_failures(evidence: BoardEvidence, sorted_by: str | None) -> dict[str, Any]:
    """Return the failures of one board.

    Parameters
    ----------
    sorted_by
        The metric that sorts the board's standings; None where no metric may rank.

    Returns
    -------
    dict
        ``labels``: recall of every cell type by entry. ``entries``: worst and lost units, lost
        types and reversed genes by entry. ``unsolved``: ``units``, ``labels`` and ``proteins``
        that no entry solves, or one alone.

    Raises
    ------
    TableError
        If failure rows and score rows of an entry are not of the same predictions.
    """
    own = [n for n, f in evidence.entries.items() if f.kind != "control"]
    own = [n for n in own if n not in evidence.failed]
    rows = evidence.failures[evidence.failures["entry"].isin(own)]
    confusions = rows[rows["kind"] == "confusion"]
    check_same_predictions(confusions, evidence.scores, evidence.board.id)
    baselines = [n for n in own if evidence.entries[n].kind == "baseline"]
    labels = label_records(confusions, evidence.constants, baselines)
    values = _values(evidence, sorted_by, own) if sorted_by else None
    directions = {str(e): r for e, r in rows[rows["kind"] == "direction"].groupby("entry")}
    return {
        "board": evidence.board.id,
        "metric": sorted_by,
        "labels": labels,
        "entries": {
            name: {
                **_entry(name, values, directions.get(name)),
                "labels": lost_labels(labels, name) if labels else None,
            }
            for name in sorted(own)
        },
        "unsolved": {
            "units": unsolved_units(values) if values and len(values.table) else None,
            "labels": unsolved_labels(labels, MIN_CELLS) if labels else None,
            "proteins": _unsolved_proteins(rows, _declared(evidence)),
        },
    }


def _declared(evidence: BoardEvidence) -> list[str]:
    return list(TASKS[evidence.board.task].declared_baselines)


def _values(evidence: BoardEvidence, metric: str, own: Sequence[str]) -> Values:
    """Return the values of all entries but controls on one metric."""
    table = unit_table(evidence, metric)
    table = table.loc[[n for n in table.index if n in set(own)]].dropna(axis=1, how="all")
    counts = unit_table(evidence, metric, "n").reindex(index=table.index, columns=table.columns)
    return Values(
        table=table,
        counts=counts,
        declared=[b for b in _declared(evidence) if b in table.index],
        floor=float(evidence.constants["metrics"][metric]["floor"]),
        sign=1.0 if METRICS[metric].higher_is_better else -1.0,
    )


def _entry(name: str, values: Values | None, directions: pd.DataFrame | None) -> dict[str, Any]:
    has_values = values is not None and name in values.table.index
    return {
        "losses": losses_of(values, name) if values is not None and has_values else None,
        "directions": None if directions is None else direction_records(directions),
    }


def _unsolved_proteins(rows: pd.DataFrame, declared: Sequence[str]) -> dict[str, Any] | None:
    """Judge proteins like units, by the mean over units, folds and seeds of their correlation."""
    found = rows[rows["kind"] == "protein"]
    if found.empty:
        return None
    table, counts = (
        found.pivot_table(index="entry", columns="subject", values=column, aggfunc="mean")
        for column in ("value", "n")
    )
    return unsolved_units(
        Values(
            table=table,
            counts=counts,
            declared=[b for b in declared if b in table.index],
            floor=PROTEIN_FLOOR,
            sign=1.0,
        )
    )


def check_same_predictions(confusions: pd.DataFrame, scores: pd.DataFrame, board: str) -> None:
    """Raise TableError unless confusions give the accuracy that the score table holds.

    Recalls derive from failure rows, ranks from score rows: both must be of one prediction.
    """
    stated = scores[(scores["metric"] == "accuracy") & (scores["status"] == "ok")]
    keys = ["entry", "seed", "unit"]
    right = confusions["n"].where(confusions["subject"] == confusions["key"], 0)
    sums = confusions.assign(right=right).groupby(keys)[["right", "n"]].sum()
    both = stated.set_index(keys)[["value"]].join(sums, how="inner")
    wrong = both[(both["right"] / both["n"] - both["value"]).abs() > TOLERANCE]
    if len(wrong):
        entry, seed, unit = wrong.index[0]
        row = wrong.iloc[0]
        raise TableError(
            f"{board}: the failure table of {entry} (seed {seed}, unit {unit}) gives an accuracy "
            f"of {row['right'] / row['n']:.6g}, its score table {row['value']:.6g}. The two are "
            "not of the same predictions; score the entry again, or restore both files."
        )


def labels_of(record: Mapping[str, Any], label: str) -> Mapping[str, Any]:
    """Return the record of one cell type.

    Raises
    ------
    TableError
        If the board has no such type.
    """
    known = {str(found["label"]): found for found in record["labels"]}
    if label not in known:
        raise TableError(
            f"{record['board']}: no cell type {label!r}. Known: {', '.join(sorted(known))}."
        )
    return known[label]  # type: ignore[no-any-return]
