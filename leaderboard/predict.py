"""Run one model on every fold of a dataset's boards; a killed run resumes where it stopped."""

import hashlib
import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from tqdm import tqdm

from leaderboard import layout
from leaderboard.config import TierLimits
from leaderboard.errors import HeldoutError, LeakageError, PredictionError
from leaderboard.io import (
    read_h5ad,
    read_json,
    read_parquet,
    sha256_folder,
    write_folder_then_rename,
    write_json,
    write_parquet,
)
from leaderboard.models import MODELS
from leaderboard.spec import Annotator, Board, Log, Model, PerturbPredictor, RunContext
from leaderboard.tasks import TASKS
from leaderboard.tracking import Tracker, device, peak_memory_mb

if TYPE_CHECKING:
    from anndata import AnnData

REASON_LENGTH = 200


@dataclass(frozen=True, kw_only=True)
class Plan:
    """All that decides what an entry predicts on one dataset."""

    entry: str
    suite: str
    dataset: str
    boards: tuple[Board, ...]
    models: Mapping[str, Mapping[str, Any]]
    """Plug-in name to parameters; one for an entry, several for the controls."""
    seeds: tuple[int, ...]
    limits: TierLimits
    threads: int
    splits: Mapping[str, str]
    """Digest of the split of every board, by board id."""
    key: str
    """Digest of the entry and the code, so that a resumed run mixes no two versions."""
    is_controls: bool = False
    tags: Mapping[str, str] = field(default_factory=dict)

    def folder_of(self, model: str) -> Path:
        """Return the folder of a plug-in's boards inside the entry's folder."""
        return Path(model) if self.is_controls else Path()


@dataclass(frozen=True, kw_only=True)
class _Fold:
    board: Board
    fold: int
    seed: int

    @property
    def case(self) -> Path:
        return Path(self.board.id) / layout.fold_name(self.fold)


def predict_dataset(plan: Plan, tracker: Tracker) -> None:
    """Write predictions and the run record of one entry on one dataset.

    An exception of the adapter makes a board ``failed`` and goes on. Out of memory, signals, and
    contract, leak and I/O errors stop the run without output; finished folds stay in ``data/work``
    and are not computed again.
    """
    work = layout.work("predict", plan.suite, plan.dataset, plan.entry)
    if work.is_dir() and not (work / plan.key).is_dir():
        shutil.rmtree(work)
    work = work / plan.key
    started = time.time()
    boards: dict[str, Any] = {}
    with tracker.entry(plan.entry, plan.dataset, plan.tags) as run_id:
        for model in plan.models:
            for board in plan.boards:
                if board.task not in MODELS[model].tasks:
                    continue
                folder = plan.folder_of(model) / board.id
                boards[folder.as_posix()] = _predict_board(plan, model, board, work, tracker)
    record = {
        "schema": 1,
        "entry": plan.entry,
        "dataset": plan.dataset,
        "suite": plan.suite,
        "mlflow_run": run_id,
        "parameters": {name: dict(values) for name, values in plan.models.items()},
        "tags": dict(plan.tags),
        "device": device(),
        "threads": plan.threads,
        "peak_memory_mb": peak_memory_mb(),
        "seconds": round(time.time() - started, 2),
        "boards": boards,
    }
    target = layout.predictions(plan.suite, plan.dataset, plan.entry)
    with write_folder_then_rename(target) as temporary:
        for board_folder in boards:
            shutil.copytree(work / "predictions" / board_folder, temporary / board_folder)
    write_json(layout.run(plan.suite, plan.dataset, plan.entry), record)
    shutil.rmtree(work.parent)


def _predict_board(
    plan: Plan, name: str, board: Board, work: Path, tracker: Tracker
) -> dict[str, Any]:
    """Predict all folds of a board; return its part of the run record."""
    cases = layout.cases(plan.suite, plan.dataset) / board.id
    n_folds = len(list(cases.glob("fold-*")))
    folder = work / "predictions" / plan.folder_of(name) / board.id
    records: dict[str, Any] = {}
    todo = [_Fold(board=board, fold=k, seed=s) for k in range(n_folds) for s in plan.seeds]
    for item in tqdm(todo, desc=f"{plan.entry}: {name} on {board.id}", unit="fold"):
        file = layout.prediction_name(item.fold, item.seed)
        kept = work / "records" / plan.folder_of(name) / board.id / f"{file}.json"
        if not kept.is_file():
            write_json(kept, _predict_fold(plan, name, item, folder / file, tracker))
        records[file.removesuffix(".parquet")] = read_json(kept)
    failed = {k: r["failed"] for k, r in records.items() if "failed" in r}
    reason = "; ".join(f"{k}: {v}" for k, v in failed.items())[:REASON_LENGTH]
    status = {"status": "failed" if failed else "complete", "reason": reason}
    write_json(folder / "status.json", status)
    return {**status, "folds": records}


def _predict_fold(
    plan: Plan, name: str, item: _Fold, target: Path, tracker: Tracker
) -> dict[str, Any]:
    cases = layout.cases(plan.suite, plan.dataset) / item.case
    model = MODELS[name]
    parameters = dict(plan.models[name])
    sha256 = sha256_folder(cases)
    facts = {
        "name": f"{item.board.id}/{layout.fold_name(item.fold)}",
        "digest": hashlib.md5(sha256.encode(), usedforsecurity=False).hexdigest(),
        "sha256": sha256,
    }
    inputs, n_train = cap_training(read_h5ad(cases / "inputs.h5ad"), plan.limits, item.seed)
    asked = cases / "queries.parquet"
    queries = read_parquet(asked) if asked.is_file() else None
    params = {"model": name, "board": item.board.id, "fold": item.fold, "seed": item.seed}
    facts["split_sha256"] = plan.splits.get(item.board.id, "not frozen")
    logged = {**params, **parameters, "n_train": n_train, "threads": plan.threads}
    with tracker.fold(f"{name} {facts['name']} seed {item.seed}", logged, facts) as (run_id, log):
        started = time.time()
        run = _context(plan, model, item, log)
        result = _answer(model, parameters, (inputs, queries), run)
        seconds = round(time.time() - started, 3)
        log("seconds", seconds, 0)
        tracker.tag({"outcome": "failed" if isinstance(result, str) else "complete"})
    record = {"mlflow_run": run_id, "seconds": seconds, "n_train": n_train, "inputs_sha256": sha256}
    if isinstance(result, str):
        return {**record, "failed": result}
    write_parquet(target, result)
    return record


def _context(plan: Plan, model: Model, item: _Fold, log: Log) -> RunContext:
    truth = layout.truth(plan.suite, plan.dataset) / item.case if model.sees_truth else None
    return RunContext(
        seed=item.seed,
        threads=plan.threads,
        max_epochs=plan.limits.max_epochs,
        log=log,
        truth_path=truth,
    )


def _answer(
    model: Model,
    parameters: Mapping[str, Any],
    case: tuple["AnnData", pd.DataFrame | None],
    run: RunContext,
) -> pd.DataFrame | str:
    """Return the checked prediction, or why the adapter failed."""
    try:
        return _checked_answer(model, parameters, case, run)
    except (MemoryError, OSError, LeakageError):
        raise
    except PredictionError as error:
        return " ".join(f"PredictionError: {error}".split())[:REASON_LENGTH]
    except HeldoutError:
        raise
    except Exception as error:
        if type(error).__name__ == "OutOfMemoryError":
            raise
        return " ".join(f"{type(error).__name__}: {error}".split())[:REASON_LENGTH]


def _checked_answer(
    model: Model,
    parameters: Mapping[str, Any],
    case: tuple["AnnData", pd.DataFrame | None],
    run: RunContext,
) -> pd.DataFrame:
    inputs, queries = case
    adapter: Any = model.load(**parameters)
    task = "cell_type_annotation" if queries is None else "perturbation_prediction"
    if queries is None and isinstance(adapter, Annotator):
        prediction = adapter.annotate(inputs, run)
        keys = pd.DataFrame({"cell_id": inputs.obs_names[inputs.obs["role"] == "test"]})
        names: Sequence[str] = sorted(inputs.obs["cell_type"].dropna().astype(str).unique())
    elif queries is not None and isinstance(adapter, PerturbPredictor):
        prediction = adapter.predict(inputs, queries, run)
        keys, names = queries, list(map(str, inputs.var_names))
    else:
        raise TypeError(f"{model.name} does not answer {task}")
    TASKS[task].check_prediction(prediction, keys, names)
    return prediction


def cap_training(inputs: "AnnData", limits: TierLimits, seed: int) -> tuple["AnnData", int]:
    """Return inputs with at most the tier's number of training cells, and that number.

    Validation, test and control cells are never dropped.
    """
    is_train = (inputs.obs["role"].astype(str) == "train").to_numpy()
    n_train, limit = int(is_train.sum()), limits.max_train_cells
    if limit is None or n_train <= limit:
        return inputs, n_train
    chosen = np.random.default_rng(seed).permutation(np.flatnonzero(is_train))[:limit]
    keep = ~is_train
    keep[chosen] = True
    return inputs[keep].copy(), limit
