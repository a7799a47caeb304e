"""A fake model, a fake tracker and a plan that runs them."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from leaderboard import layout
from leaderboard.predict import Plan, predict_dataset
from leaderboard.spec import Log, RunContext

if TYPE_CHECKING:
    from anndata import AnnData

SUITE, DATASET, ENTRY = "known_truth", "tiny", "me"
FOLDS = 3


@dataclass
class FakeTracker:
    """Stands for MLflow: keeps what it is told."""

    folds: list[str] = field(default_factory=list)
    params: list[Mapping[str, Any]] = field(default_factory=list)
    outcomes: list[str] = field(default_factory=list)
    curves: list[tuple[str, float, int]] = field(default_factory=list)

    @contextmanager
    def entry(self, _name: str, _dataset: str, _tags: Mapping[str, str]) -> Iterator[str]:
        yield "run-0"

    @contextmanager
    def fold(
        self, name: str, params: Mapping[str, Any], dataset: Mapping[str, str]
    ) -> Iterator[tuple[str, Log]]:
        assert len(dataset["digest"]) <= 36
        self.folds.append(name)
        self.params.append(params)

        def log(name: str, value: float, step: int) -> None:
            self.curves.append((name, value, step))

        yield f"run-{len(self.folds)}", log

    def tag(self, tags: Mapping[str, str]) -> None:
        self.outcomes.append(tags["outcome"])


Answer = Callable[["AnnData", RunContext], Any]


@dataclass
class FakeAdapter:
    answer: Answer

    def annotate(self, inputs: "AnnData", run: RunContext) -> pd.DataFrame:
        table: pd.DataFrame = self.answer(inputs, run)
        return table


def test_ids(inputs: "AnnData") -> list[str]:
    return [str(i) for i in inputs.obs_names[inputs.obs["role"] == "test"]]


test_ids.__test__ = False  # type: ignore[attr-defined]


def label_all(inputs: "AnnData", _run: RunContext) -> pd.DataFrame:
    return pd.DataFrame({"cell_id": test_ids(inputs), "label": "A"})


def raising(error: BaseException, fold: int | None = None) -> Answer:
    """Raise on every fold, or on one, which is known from its cells."""
    seen: list[str] = []

    def answer(inputs: "AnnData", run: RunContext) -> pd.DataFrame:
        first = test_ids(inputs)[0]
        if first not in seen:
            seen.append(first)
        if fold is None or seen.index(first) == fold:
            raise error
        return label_all(inputs, run)

    return answer


Use = Callable[..., None]


def run_plan(plan: Plan, tracker: FakeTracker | None = None) -> Path:
    tracker = tracker or FakeTracker()
    predict_dataset(plan, tracker)  # type: ignore[arg-type]
    return layout.predictions(SUITE, DATASET, ENTRY) / plan.folder_of("fake") / plan.boards[0].id
