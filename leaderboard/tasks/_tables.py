"""Checks that the predictions of every task share."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import pandas as pd

from leaderboard.errors import PredictionError

if TYPE_CHECKING:
    from anndata import AnnData

FAILURES = ["fold", "seed", "kind", "unit", "subject", "position", "key", "value", "n"]
"""Columns of the failure table that a task fills."""


def bare(counts: Any, obs: pd.DataFrame, genes: "pd.Index[str]") -> "AnnData":
    """Return an AnnData of counts, these columns and gene names, and of nothing else."""
    from anndata import AnnData  # noqa: PLC0415 (a second that scoring does not need)

    var = pd.DataFrame(index=genes.astype(str))
    return AnnData(X=counts.copy(), obs=obs.copy(), var=var)


def check_keys(prediction: pd.DataFrame, keys: pd.DataFrame) -> None:
    """Raise PredictionError unless the rows answer every key exactly once, in any order."""
    columns = list(keys.columns)
    lacking = [c for c in columns if c not in prediction]
    if lacking:
        raise PredictionError(f"column(s) {lacking} missing; got {list(prediction.columns)[:8]}")
    prediction = prediction[columns]
    for column in columns:
        odd = [value for value in prediction[column] if not isinstance(value, str)]
        if odd:
            raise PredictionError(f"{len(odd)} {column} value(s) are no text, first {odd[0]!r}")
    twice = prediction[prediction.duplicated()]
    if len(twice):
        raise PredictionError(f"{len(twice)} duplicated row(s), first {_row(twice, columns)}")
    both = keys.merge(prediction, on=columns, how="outer", indicator=True)
    for side, what in (("left_only", "missing"), ("right_only", "not asked for")):
        rows = both[both["_merge"] == side]
        if len(rows):
            raise PredictionError(
                f"{len(rows)} of {len(keys)} row(s) {what}, first {_row(rows, columns)}; "
                "ids must match the board's exactly"
            )


def _row(table: pd.DataFrame, columns: Sequence[str]) -> str:
    first = table[list(columns)].iloc[0]
    return ", ".join(f"{name}={value}" for name, value in first.items())
