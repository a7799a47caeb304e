"""What is frozen about an annotation board, and where its entries fail."""

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import pandas as pd

from leaderboard.errors import UndefinedScoreError
from leaderboard.spec import AnnotationUnit, Board, Metric
from leaderboard.tasks._tables import FAILURES

if TYPE_CHECKING:
    from anndata import AnnData

LABEL = "cell_type"
PROBABILITY = "p:"
MIN_CLASS_CELLS = 20
MIN_CLASS_UNITS = 3
MIN_UNIT_CELLS = 5
N_SHUFFLES = 20
CONFIDENT = 0.9
N_CONFIDENT_ERRORS = 20
N_BINS = 10


def classes_of(roles: pd.DataFrame, obs: pd.DataFrame, unit: str) -> dict[str, list[str]]:
    """Return C_u, the classes with at least 5 cells in unit u, for every unit.

    C holds the labels that every fold's training set has, with at least 20 cells in all and present
    in at least 3 units (in all, if there are fewer).
    """
    label = obs[LABEL].astype(str)
    seen = roles[roles["role"].isin(["train", "validation"])]
    folds = seen.assign(label=label[seen["cell_id"]].to_numpy()).groupby("label")["fold"].nunique()
    test = obs.loc[roles.loc[roles["role"] == "test", "cell_id"].unique()]
    table = pd.crosstab(test[unit].astype(str), test[LABEL].astype(str))
    n_units = min(MIN_CLASS_UNITS, len(table))
    n_folds = roles["fold"].nunique()
    classes = [
        c
        for c in table.columns
        if folds.get(c, 0) == n_folds
        and table[c].sum() >= MIN_CLASS_CELLS
        and (table[c] > 0).sum() >= n_units
    ]
    return {u: [c for c in classes if table.loc[u, c] >= MIN_UNIT_CELLS] for u in table.index}


def freeze(
    adata: "AnnData", roles: pd.DataFrame, board: Board, metrics: Sequence[Metric]
) -> dict[str, Any]:
    """Return classes, floors and ceilings of an annotation board.

    The floor is the mean over 20 shuffles of the labels within each unit; the ceiling is what the
    true labels score.
    """
    obs = adata.obs[adata.obs[LABEL].notna()]
    roles = roles[roles["cell_id"].isin(obs.index)]
    class_units = classes_of(roles, obs, board.unit)
    test = obs.loc[np.unique(roles.loc[roles["role"] == "test", "cell_id"])]
    units = {
        unit: test.loc[test[board.unit].astype(str) == unit, LABEL].to_numpy(dtype=str)
        for unit in sorted(class_units)
    }
    rng = np.random.default_rng(0)
    shuffled = [
        {unit: rng.permutation(label) for unit, label in units.items()} for _ in range(N_SHUFFLES)
    ]
    values = {}
    for metric in metrics:
        ceiling = _mean(metric, units, units, class_units)
        floor = float(np.mean([_mean(metric, units, s, class_units) for s in shuffled]))
        reason = "" if ceiling > floor else "the true labels score no better than shuffled ones"
        values[metric.name] = {
            "floor": floor,
            "ceiling": ceiling,
            "ceiling_low": ceiling,
            "ceiling_high": ceiling,
            "ceiling_kind": "true labels",
            "trusted": not reason,
            "reason": reason,
        }
    classes = sorted({c for unit in class_units.values() for c in unit})
    return {"classes": classes, "class_units": class_units, "metrics": values}


def _mean(
    metric: Metric,
    truth: Mapping[str, np.ndarray],
    predicted: Mapping[str, np.ndarray],
    class_units: Mapping[str, Sequence[str]],
) -> float:
    values = []
    for unit, label in truth.items():
        case = AnnotationUnit(
            label=label, predicted=predicted[unit], classes=tuple(class_units[unit])
        )
        try:
            values.append(metric.compute(case))
        except UndefinedScoreError:
            continue
    return float(np.mean(values)) if values else 0.0


def failures(cells: pd.DataFrame, fold: int, seed: int) -> pd.DataFrame:
    """Return confusions, confident errors and calibration of one unit's cells.

    ``cells`` has ``unit label predicted`` and, where given, ``p:<label>`` columns.
    """
    rows = [*_confusion(cells), *_confidence(cells)]
    table = pd.DataFrame(rows, columns=FAILURES[2:])
    table.insert(0, "seed", seed)
    table.insert(0, "fold", fold)
    return table


def _confusion(cells: pd.DataFrame) -> Iterator[tuple[Any, ...]]:
    counts = cells.groupby(["unit", "label", "predicted"]).size()
    total = cells.groupby(["unit", "label"]).size()
    for key, n in counts.items():
        unit, label, predicted = cast("tuple[str, str, str]", key)
        yield "confusion", unit, label, 0, predicted, n / total.loc[(unit, label)], n


def _confidence(cells: pd.DataFrame) -> Iterator[tuple[Any, ...]]:
    given = [c for c in cells.columns if c.startswith(PROBABILITY)]
    if not given:
        return
    confidence = cells[given].max(axis=1)
    right = cells["predicted"] == cells["label"]
    errors = cells.assign(confidence=confidence)[~right & (confidence >= CONFIDENT)]
    errors = errors.sort_values(["confidence", "cell_id"], ascending=[False, True])
    for position, row in enumerate(errors.head(N_CONFIDENT_ERRORS).itertuples()):
        yield (
            "confident_error", row.unit, row.label, position, row.predicted, row.confidence, 1,
        )  # fmt: skip
    unit = cells["unit"].iloc[0]
    bins = np.minimum((confidence.to_numpy() * N_BINS).astype(int), N_BINS - 1)
    for position in np.unique(bins):
        members = cells[bins == position]
        subject = f"{position / N_BINS:.1f}"
        for key, values in (("confidence", confidence), ("accuracy", right)):
            value = float(values[members.index].mean())
            yield "calibration", unit, subject, position, key, value, len(members)
