"""Run one model on every fold of a dataset's boards; a killed run resumes where it stopped."""

import hashlib
import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
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
from leaderboard.spec import Answer, Board, Log, Model, RunContext, Task
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
    resources: Mapping[str, Path] = field(default_factory=dict)
    """Folders of all that the models declare; each model is given its own ones only."""
    is_controls: bool = False
    tier: str = "default"
    tags: Mapping[str, str] = field(default_factory=dict)

    @property
    def written_under(self) -> str:
        """Return the folder of outputs in place of the suite's."""
        return layout.tier_of(self.suite, self.tier)

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
    and are not computed again, and so do checkpoints of the fold that was under way.
    """
    work = layout.work("predict", plan.suite, plan.dataset, plan.entry)
    if work.is_dir() and not (work / plan.key).is_dir():
        shutil.rmtree(work)
    work = work / plan.key
    started = time.time()
    boards: dict[str, Any] = {}
    with tracker.entry(plan.entry, plan.dataset, plan.tags) as run_id:
        for board in plan.boards:
            boards |= _predict_board(plan, board, work, tracker)
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
    target = layout.predictions(plan.written_under, plan.dataset, plan.entry)
    with write_folder_then_rename(target) as temporary:
        for board_folder in boards:
            shutil.copytree(work / "predictions" / board_folder, temporary / board_folder)
    write_json(layout.run(plan.written_under, plan.dataset, plan.entry), record)
    shutil.rmtree(work.parent)


def _predict_board(
    plan: Plan, board: Board, work: Path, tracker: Tracker
) -> dict[str, dict[str, Any]]:
    """Predict all folds of a board with every model; return its parts of the run record.

    The models of one entry share the inputs of a fold: reading them takes longer than most of the
    controls need to answer.
    """
    n_folds = len(list((layout.cases(plan.suite, plan.dataset) / board.id).glob("fold-*")))
    models = [name for name in plan.models if board.task in MODELS[name].tasks]
    records: dict[str, dict[str, Any]] = {name: {} for name in models}
    todo = [_Fold(board=board, fold=k, seed=s) for k in range(n_folds) for s in plan.seeds]
    for item in tqdm(todo, desc=f"{plan.entry} on {board.id}", unit="fold"):
        case = _FoldInputs(plan, item)
        file = layout.prediction_name(item.fold, item.seed)
        for name in models:
            folder = plan.folder_of(name) / board.id
            kept = work / "records" / folder / f"{file}.json"
            if not kept.is_file():
                target = work / "predictions" / folder / file
                write_json(kept, _predict_fold(plan, name, case, target, tracker))
            records[name][file.removesuffix(".parquet")] = read_json(kept)
    return {
        (plan.folder_of(name) / board.id).as_posix(): _finish_board(plan, name, board, work, folds)
        for name, folds in records.items()
    }


def _finish_board(
    plan: Plan, name: str, board: Board, work: Path, folds: Mapping[str, Any]
) -> dict[str, Any]:
    failed = {k: r["failed"] for k, r in folds.items() if "failed" in r}
    reason = "; ".join(f"{k}: {v}" for k, v in failed.items())[:REASON_LENGTH]
    status = {"status": "failed" if failed else "complete", "reason": reason}
    folder = work / "predictions" / plan.folder_of(name) / board.id
    write_json(folder / "status.json", status)
    return {**status, "folds": folds}


class _FoldInputs:
    """The inputs of one fold, read when they are first asked for and then kept."""

    def __init__(self, plan: Plan, item: _Fold) -> None:
        self.item = item
        self.folder = layout.cases(plan.suite, plan.dataset) / item.case
        self._limits = plan.limits

    @cached_property
    def sha256(self) -> str:
        return sha256_folder(self.folder)

    @cached_property
    def inputs(self) -> tuple["AnnData", int]:
        """Return the inputs with capped training, and the number of training cells."""
        return cap_training(read_h5ad(self.folder / "inputs.h5ad"), self._limits, self.item.seed)

    @cached_property
    def queries(self) -> pd.DataFrame | None:
        asked = self.folder / "queries.parquet"
        return read_parquet(asked) if asked.is_file() else None


def _predict_fold(
    plan: Plan, name: str, case: _FoldInputs, target: Path, tracker: Tracker
) -> dict[str, Any]:
    item, model, parameters = case.item, MODELS[name], dict(plan.models[name])
    inputs, n_train = case.inputs
    sha256 = case.sha256
    facts = {
        "name": f"{item.board.id}/{layout.fold_name(item.fold)}",
        "digest": hashlib.md5(sha256.encode(), usedforsecurity=False).hexdigest(),
        "sha256": sha256,
        "split_sha256": plan.splits.get(item.board.id, "not frozen"),
    }
    params = {"model": name, "board": item.board.id, "fold": item.fold, "seed": item.seed}
    logged = {**params, **parameters, "n_train": n_train, "threads": plan.threads}
    with tracker.fold(f"{name} {facts['name']} seed {item.seed}", logged, facts) as (run_id, log):
        started = time.time()
        run = _context(plan, model, item, log, target.with_suffix(".work"))
        asked = (shown_to(inputs, model, TASKS[item.board.task]), case.queries)
        result = _answer(model, parameters, asked, TASKS[item.board.task], run)
        seconds = round(time.time() - started, 3)
        log("seconds", seconds, 0)
        tracker.tag({"outcome": "failed" if isinstance(result, str) else "complete"})
    shutil.rmtree(target.with_suffix(".work"), ignore_errors=True)
    record = {"mlflow_run": run_id, "seconds": seconds, "n_train": n_train, "inputs_sha256": sha256}
    if isinstance(result, str):
        return {**record, "failed": result}
    if result.cells is not None:
        write_parquet(layout.cells_of(target), result.cells)
    write_parquet(target, result.table)
    return record


def shown_to(inputs: "AnnData", model: Model, task: Task) -> "AnnData":
    """Copy the inputs, without the labels that scores use unless the model declares to use them."""
    shown = inputs.copy()
    if task.hides_labels and not model.uses_labels:
        shown.obs = shown.obs.drop(columns=[c for c in task.hides_labels if c in shown.obs])
    return shown


def _context(plan: Plan, model: Model, item: _Fold, log: Log, work: Path) -> RunContext:
    truth = layout.truth(plan.suite, plan.dataset) / item.case if model.sees_truth else None
    return RunContext(
        seed=item.seed,
        threads=plan.threads,
        max_epochs=plan.limits.max_epochs,
        log=log,
        truth_path=truth,
        resources={name: plan.resources[name] for name in model.resources},
        work=work,
    )


def _answer(
    model: Model,
    parameters: Mapping[str, Any],
    case: tuple["AnnData", pd.DataFrame | None],
    task: Task,
    run: RunContext,
) -> Answer | str:
    """Return the checked prediction, or why the adapter failed."""
    try:
        return _checked_answer(model, parameters, case, task, run)
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
    task: Task,
    run: RunContext,
) -> Answer:
    adapter: Any = model.load(**parameters)
    if not isinstance(adapter, task.capability):
        raise TypeError(f"{model.name} does not answer {task.name}")
    return task.ask(adapter, *case, run)


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
