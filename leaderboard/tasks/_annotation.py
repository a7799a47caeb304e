"""What is frozen about an annotation board, and where its entries fail."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
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
FIT_ROLES = ("train", "validation")
RARE_FRACTION = 0.01
N_SHUFFLES = 20
LEAST_GAP = 1e-9
"""Below it two board means differ by rounding alone."""
CONFIDENT = 0.9
N_CONFIDENT_ERRORS = 20
N_BINS = 10


def classes_of(roles: pd.DataFrame, obs: pd.DataFrame, unit: str) -> dict[str, list[str]]:
    """Return C_u, the classes with at least 5 cells in unit u, for every unit.

    C holds the labels that every fold's training set has, with at least 20 cells in all and present
    in at least 3 units (in all, if there are fewer).
    """
    label = obs[LABEL].astype(str)
    seen = roles[roles["role"].isin(FIT_ROLES)]
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
    """Return classes, rare labels, floors, ceilings and trust of an annotation board.

    The floor is the mean over 20 shuffles of the labels within each unit, each cell with the
    board's label frequencies for probabilities; the ceiling is what the true labels score.
    """
    obs = adata.obs[adata.obs[LABEL].notna()]
    roles = roles[roles["cell_id"].isin(obs.index)]
    class_units = classes_of(roles, obs, board.unit)
    classes = sorted({c for unit in class_units.values() for c in unit})
    test = _test_cells(roles, obs, board.unit)
    share = test["label"].value_counts(normalize=True).sort_index()
    rare = [c for c in share.index if c not in classes or share[c] < RARE_FRACTION]
    units = [
        AnnotationUnit(
            label=cells["label"].to_numpy(dtype=str),
            predicted=cells["label"].to_numpy(dtype=str),
            classes=tuple(class_units[str(unit)]),
            rare=tuple(rare),
            is_unseen=~cells["seen"].to_numpy(dtype=bool),
            names=tuple(share.index),
        )
        for unit, cells in test.groupby("unit", sort=True)
    ]
    answers = _Answers(
        perfect=(_named(units), _abstaining(units)),
        shuffled=_shuffled(units, share.to_numpy()),
        frequencies=_frequencies(units),
    )
    return {
        "classes": classes,
        "class_units": class_units,
        "rare": rare,
        "metrics": {metric.name: _constants(metric, answers) for metric in metrics},
    }


def labels_seen(roles: pd.DataFrame, obs: pd.DataFrame) -> set[tuple[int, str]]:
    """Return every (fold, label) that the fold's training or validation cells hold."""
    shown = roles[roles["role"].isin(FIT_ROLES)]
    label = obs.loc[shown["cell_id"], LABEL].astype(str)
    return set(zip(shown["fold"], label, strict=True))


def _test_cells(roles: pd.DataFrame, obs: pd.DataFrame, unit: str) -> pd.DataFrame:
    """Return ``unit label seen`` of every test cell, in the order of cell ids."""
    test = roles[roles["role"] == "test"].sort_values(["cell_id", "fold"])
    label = obs.loc[test["cell_id"], LABEL].astype(str).to_numpy()
    known = labels_seen(roles, obs)
    return pd.DataFrame(
        {
            "unit": obs.loc[test["cell_id"], unit].astype(str).to_numpy(),
            "label": label,
            "seen": [key in known for key in zip(test["fold"], label, strict=True)],
        }
    )


Units = Sequence[AnnotationUnit]


@dataclass(frozen=True, kw_only=True)
class _Answers:
    """The units of a board as answered by predictors whose skill is known."""

    perfect: tuple[Units, Units]
    """The true labels: naming those that training never held, or evenly unsure of their cells."""
    shuffled: Sequence[Units]
    frequencies: Units
    """The unit's majority label and label frequencies for all of its cells."""


def _named(units: Units) -> Units:
    return [
        replace(u, probability=(u.label[:, None] == np.array(u.names)).astype(float)) for u in units
    ]


def _abstaining(units: Units) -> Units:
    answered = []
    for unit in _named(units):
        rows = np.array(unit.probability)
        rows[unit.is_unseen] = 1 / len(unit.names)
        answered.append(replace(unit, probability=rows))
    return answered


def _shuffled(units: Units, share: np.ndarray) -> Sequence[Units]:
    rng = np.random.default_rng(0)
    return [
        [
            replace(u, predicted=rng.permutation(u.label), probability=_tiled(share, u))
            for u in units
        ]
        for _ in range(N_SHUFFLES)
    ]


def _frequencies(units: Units) -> Units:
    answered = []
    for unit in units:
        share = (unit.label[:, None] == np.array(unit.names)).mean(axis=0)
        majority = np.repeat(unit.names[int(share.argmax())], len(unit.label))
        answered.append(replace(unit, predicted=majority, probability=_tiled(share, unit)))
    return answered


def _tiled(row: np.ndarray, unit: AnnotationUnit) -> np.ndarray:
    """Give every cell of a unit the same row, without a copy a cell."""
    return np.broadcast_to(row, (len(unit.label), len(row)))


def _constants(metric: Metric, answers: _Answers) -> dict[str, Any]:
    sign = 1.0 if metric.higher_is_better else -1.0
    try:
        ceiling = sign * max(sign * board_mean(metric, units) for units in answers.perfect)
        floor = metric.floor
        if floor is None:
            floor = float(np.mean([board_mean(metric, units) for units in answers.shuffled]))
        blind = board_mean(metric, answers.frequencies)
    except UndefinedScoreError as error:
        nowhere = float(metric.floor or 0.0)
        edge = dict.fromkeys(("floor", "ceiling", "ceiling_low", "ceiling_high"), nowhere)
        reason = f"undefined in every unit of this board: {error}"
        return {**edge, "ceiling_kind": "none", "trusted": False, "reason": reason}
    reason = ""
    if sign * (ceiling - floor) < LEAST_GAP:
        reason = "the true labels score no better than shuffled ones"
    elif sign * (ceiling - blind) < LEAST_GAP:
        reason = "the frequencies of labels alone, without a look at a cell, score like the truth"
    return {
        "floor": floor,
        "ceiling": ceiling,
        "ceiling_low": ceiling,
        "ceiling_high": ceiling,
        "ceiling_kind": "true labels",
        "trusted": not reason,
        "reason": reason,
    }


def board_mean(metric: Metric, units: Units) -> float:
    """Return the mean over the units in which a metric is defined; pooled metrics weigh by n.

    Raises
    ------
    UndefinedScoreError
        If the metric is undefined in every unit; with the reason of the first.
    """
    values, weights, reasons = [], [], []
    for unit in units:
        try:
            values.append(metric.compute(unit))
        except UndefinedScoreError as error:
            reasons.append(str(error))
            continue
        n = len(unit.label) if metric.count is None else metric.count(unit)
        weights.append(n if metric.is_pooled else 1)
    if not values:
        raise UndefinedScoreError(reasons[0] if reasons else "the board has no test cell")
    return float(np.average(values, weights=weights))


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
