"""Turn one entry's predictions on one board into rows of the score and the failure table."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from leaderboard.errors import UndefinedScoreError
from leaderboard.io import FAILURE_COLUMNS, SCORE_COLUMNS
from leaderboard.metrics import METRICS
from leaderboard.metrics._cells import CellSample, build_samples, build_truths
from leaderboard.profiles import target_genes
from leaderboard.spec import CONTROL, WHOLE, Board, Evidence, Metric, Observation, ScoreValue
from leaderboard.tasks import TASKS

if TYPE_CHECKING:
    from anndata import AnnData


def metrics_of(task: str, *, ranked_only: bool = False) -> list[Metric]:
    """Return every metric that answers a task, or those that may rank, in name order."""
    of_task = [metric for metric in METRICS.values() if task in metric.tasks]
    return [metric for metric in of_task if metric.is_ranked or not ranked_only]


def score_board(
    entry: str,
    board: Board,
    evidence: Sequence[Evidence],
    constants: Mapping[str, Any],
    metrics: Sequence[Metric],
) -> pd.DataFrame:
    """Return the score rows of one board: every given metric in every unit, seeds apart."""
    task = TASKS[board.task]
    rows = [
        _row(entry, board, observation.seed, value)
        for seed in sorted({item.seed for item in evidence})
        for observation in task.observe([e for e in evidence if e.seed == seed], board, constants)
        for value in score_unit(
            observation, [m for m in metrics if m.is_whole == observation.is_whole]
        )
    ]
    return pd.DataFrame(rows, columns=SCORE_COLUMNS)


def score_unit(observation: Observation, metrics: Sequence[Metric]) -> list[ScoreValue]:
    """Return one value a metric: the mean over the parts of a unit in which it is defined."""
    return [_value(observation, metric) for metric in metrics]


def _value(observation: Observation, metric: Metric) -> ScoreValue:
    undefined = ScoreValue(
        fold=observation.fold,
        metric=metric.name,
        unit=observation.unit,
        n=observation.n if metric.count is None else sum(map(metric.count, observation.parts)),
        value=None,
        status="undefined",
        reason=observation.undefined,
    )
    if metric.needs_control and observation.undefined:
        return undefined
    values, reasons = [], []
    for part in observation.parts:
        try:
            values.append(metric.compute(part))
        except UndefinedScoreError as error:
            reasons.append(str(error))
    if not values:
        return replace(undefined, reason=reasons[0])
    return replace(undefined, value=sum(values) / len(values), status="ok", reason="")


def cell_samples(
    cells: pd.DataFrame, scored: "AnnData", perturbations: Sequence[str], target_sum: float
) -> dict[tuple[str, str], CellSample]:
    """Pair the predicted cells of one fold with the true ones.

    Parameters
    ----------
    cells
        ``perturbation context draw`` + genes, in log1p of counts scaled to ``target_sum``.
    scored
        Counts of the test and ``control_truth`` cells.
    perturbations
        All that the panel holds: no metric looks at their targets but those of one's own choice.
    """
    genes = list(map(str, scored.var_names))
    truths = build_truths(
        scored.X,
        scored.obs[["perturbation", "context", "role"]].astype(str),
        genes,
        factors=scored.obs["size_factor"].to_numpy(dtype=np.float64),
        target_sum=target_sum,
        targets=target_genes([p for p in perturbations if p != CONTROL]),
    )
    return build_samples(cells, truths)


def failed_board(
    entry: str,
    board: Board,
    evidence: Sequence[Evidence],
    reason: str,
    metrics: Sequence[Metric],
) -> pd.DataFrame:
    """Return a failed row for every unit and given metric; ``evidence`` needs only its truth.

    A run that fails in one fold fails on the whole board: half a board is no result.
    """
    truth = pd.concat([e.truth.assign(fold=e.fold, seed=e.seed) for e in evidence])
    truth = truth[truth["role"] == "test"]
    # A copy in which all cells are one unit, for the metrics that have no smaller one.
    every = pd.concat([truth, truth.assign(unit=WHOLE)], keys=[False, True], names=["is_whole"])
    rows = []
    for (seed, is_whole, unit), cells in every.groupby(["seed", "is_whole", "unit"]):
        folds = cells["fold"].unique()
        for metric in (m for m in metrics if m.is_whole == is_whole):
            value = ScoreValue(
                fold=int(folds[0]) if len(folds) == 1 else -1,
                metric=metric.name,
                unit=str(unit),
                n=len(cells),
                value=None,
                status="failed",
                reason=reason,
            )
            rows.append(_row(entry, board, int(str(seed)), value))
    return pd.DataFrame(rows, columns=SCORE_COLUMNS)


def failures_of_board(
    entry: str, board: Board, evidence: Sequence[Evidence], constants: Mapping[str, Any]
) -> pd.DataFrame:
    """Return the failure rows of one board."""
    task = TASKS[board.task]
    tables = [
        task.failures([e for e in evidence if e.seed == seed], board, constants)
        for seed in sorted({item.seed for item in evidence})
    ]
    table = pd.concat(tables, ignore_index=True).assign(entry=entry, board=board.id)
    return table[FAILURE_COLUMNS]


def _row(entry: str, board: Board, seed: int, value: ScoreValue) -> tuple[Any, ...]:
    return (
        entry, board.id, value.fold, seed, value.metric, value.unit, value.stratum,
        value.value, value.n, value.status, value.reason,
    )  # fmt: skip
