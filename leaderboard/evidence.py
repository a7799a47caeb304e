"""From the files of truth and prediction to what scoring sees."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from leaderboard import layout
from leaderboard.errors import PredictionError
from leaderboard.io import read_h5ad, read_parquet
from leaderboard.score import cell_samples
from leaderboard.spec import Board, Evidence
from leaderboard.tasks import TASKS


@dataclass(frozen=True, kw_only=True)
class FoldTruth:
    """One fold's truth, read once for all predictions of a board."""

    fold: int
    folder: Path
    table: pd.DataFrame
    groups: pd.DataFrame | None
    moments: pd.DataFrame | None
    shared: Any


def read_truths(suite: str, board: Board) -> list[FoldTruth]:
    """Read the truth of every fold of a board."""
    folder = layout.truth(suite, board.dataset) / board.id
    return [
        _read_truth(board, fold, folder / layout.fold_name(fold))
        for fold in range(len(list(folder.glob("fold-*"))))
    ]


def _read_truth(board: Board, fold: int, folder: Path) -> FoldTruth:
    groups, moments = (_optional(folder / f"{name}.parquet") for name in ("groups", "moments"))
    return FoldTruth(
        fold=fold,
        folder=folder,
        table=read_parquet(folder / "truth.parquet"),
        groups=groups,
        moments=moments,
        shared=TASKS[board.task].share(groups, moments),
    )


def _optional(path: Path) -> pd.DataFrame | None:
    return read_parquet(path) if path.is_file() else None


def check_files(folder: Path, n_folds: int, seeds: Sequence[int]) -> None:
    """Raise PredictionError unless a board's folder holds each fold and seed, and no other."""
    expected = {layout.prediction_name(fold, seed) for fold in range(n_folds) for seed in seeds}
    found = {p.name for p in folder.glob("fold-*-seed-*.parquet") if len(p.suffixes) == 1}
    if found != expected:
        raise PredictionError(
            f"{folder}: expected predictions of {n_folds} fold(s) and the seeds {list(seeds)}; "
            f"missing {sorted(expected - found)[:5]}, not asked for {sorted(found - expected)[:5]}."
            " Run the entry's predict stage again."
        )


def read_evidence(
    board: Board, truth: FoldTruth, seed: int, folder: Path | None, constants: Mapping[str, Any]
) -> Evidence:
    """Read one prediction; it is checked against the truth's own ids."""
    prediction, samples = pd.DataFrame(), {}
    if folder is not None:
        path = folder / layout.prediction_name(truth.fold, seed)
        prediction = read_parquet(path)
        _check(path, prediction, board, truth, constants)
        if layout.cells_of(path).is_file() and truth.groups is not None:
            samples = cell_samples(
                read_parquet(layout.cells_of(path)),
                read_h5ad(truth.folder / "truth.h5ad"),
                sorted(set(truth.groups["perturbation"])),
                float(constants["target_sum"]),
            )
    return Evidence(
        fold=truth.fold,
        seed=seed,
        prediction=prediction,
        truth=truth.table,
        moments=truth.moments,
        groups=truth.groups,
        shared=truth.shared,
        samples=samples,
    )


def _check(
    path: Path,
    prediction: pd.DataFrame,
    board: Board,
    truth: FoldTruth,
    constants: Mapping[str, Any],
) -> None:
    task = TASKS[board.task]
    asked = truth.table[truth.table["role"] == "test"]
    names = constants.get("proteins", constants.get("classes", ()))
    if task.asked is not None:
        asked = task.asked(truth.table, truth.groups)
    if truth.moments is not None:
        asked = asked[["perturbation", "context"]].drop_duplicates()
        names = list(truth.moments["gene"])
    try:
        task.check_prediction(prediction, asked, names)
    except PredictionError as error:
        raise PredictionError(f"{path}: {error}.") from error
