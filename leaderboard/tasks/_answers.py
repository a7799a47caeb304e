"""Checks of what a model says about perturbations, before anything is scored."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from leaderboard.errors import PredictionError
from leaderboard.tasks._perturbation import Key
from leaderboard.tasks._tables import check_keys

STATISTICS = ("mean", "variance", "mean_variance")
"""Mean over cells; variance over cells; how unsure the entry is of that mean, as a variance."""
VARIANCES = STATISTICS[1:]
MAX_CELLS = 500
"""Predicted cells of one query."""


def check_cells(cells: pd.DataFrame, queries: pd.DataFrame, genes: Sequence[str]) -> None:
    """Raise PredictionError unless every query has cells and all values are finite and >= 0."""
    keys = ["perturbation", "context", "draw"]
    expected = sorted([*keys, *genes])
    if sorted(map(str, cells.columns)) != expected:
        odd = sorted(set(map(str, cells.columns)) ^ set(expected))
        raise PredictionError(f"predicted cells: column(s) missing or not asked for: {odd[:5]}")
    if cells.duplicated(keys).any():
        raise PredictionError("predicted cells: a draw is given twice")
    check_keys(cells[keys[:2]].drop_duplicates(), queries[keys[:2]])
    sizes = cells.groupby(keys[:2]).size()
    if sizes.min() < 2 or sizes.max() > MAX_CELLS:
        raise PredictionError(
            f"predicted cells: 2 to {MAX_CELLS} a query expected, got {sizes.min()} to "
            f"{sizes.max()}"
        )
    values = cells[list(genes)].to_numpy(dtype=np.float64)
    bad = ~np.isfinite(values).all(axis=1) | (values < 0).any(axis=1)
    if bad.any():
        raise PredictionError(f"predicted cells: {bad.sum()} hold a value below 0 or not finite")


def check_prediction(prediction: pd.DataFrame, keys: pd.DataFrame, names: Sequence[str]) -> None:
    keys = keys[["perturbation", "context"]].assign(statistic="mean")
    if "statistic" not in prediction:
        raise PredictionError(f"column statistic missing; got {list(prediction.columns)[:8]}")
    extra = sorted(set(prediction["statistic"]) - set(STATISTICS))
    if extra:
        raise PredictionError(f"statistic must be one of {list(STATISTICS)}, got {extra[:5]}")
    answered = prediction[prediction.columns.intersection(keys.columns)]
    check_keys(answered[answered["statistic"] == "mean"], keys)
    for name in VARIANCES:
        rows = answered[answered["statistic"] == name]
        given = rows[["perturbation", "context"]].drop_duplicates()
        check_keys(rows, keys.assign(statistic=name).merge(given))
    genes = [c for c in prediction.columns if c not in {"perturbation", "context", "statistic"}]
    if sorted(genes) != sorted(names):
        lacking, added = sorted(set(names) - set(genes)), sorted(set(genes) - set(names))
        raise PredictionError(
            f"expected the {len(names)} genes of the panel, missing {lacking[:5]}, "
            f"not in it {added[:5]}"
        )
    text = [g for g, dtype in prediction[genes].dtypes.items() if dtype.kind not in "iuf"]
    if text:
        raise PredictionError(f"{len(text)} gene column(s) hold no numbers, first {text[0]}")
    values = prediction[genes].to_numpy(dtype=np.float64)
    is_variance = prediction["statistic"].isin(VARIANCES).to_numpy()
    if (values[is_variance] < 0).any():
        raise PredictionError("a predicted variance is negative")
    bad = ~np.isfinite(values).all(axis=1)
    if bad.any():
        row = prediction[bad].iloc[0]
        raise PredictionError(
            f"{bad.sum()} row(s) hold NaN or infinity, first perturbation={row['perturbation']}, "
            f"context={row['context']}; predict every gene"
        )


def predicted_profiles(
    prediction: pd.DataFrame, genes: Sequence[str], statistic: str = "mean"
) -> dict[Key, np.ndarray]:
    """Return the profile of one statistic for every (perturbation, context) that has it."""
    means = prediction[prediction["statistic"] == statistic]
    values = means[list(genes)].to_numpy(dtype=np.float64)
    keys = zip(means["perturbation"], means["context"], strict=True)
    return dict(zip(keys, values, strict=True))
