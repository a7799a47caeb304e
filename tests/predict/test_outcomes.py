"""A run of an entry: what fails a board, and what stops the run."""

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pandas as pd
import pytest

from leaderboard import layout, predict
from leaderboard.errors import ConfigError, ContractError, HeldoutError, LeakageError
from leaderboard.io import read_json, read_parquet
from leaderboard.predict import Plan
from leaderboard.spec import RunContext
from tests.predict._runs import (
    DATASET,
    ENTRY,
    FOLDS,
    SUITE,
    FakeTracker,
    Use,
    label_all,
    raising,
    run_plan,
    test_ids,
)

if TYPE_CHECKING:
    from anndata import AnnData


def test_every_fold_and_seed_is_predicted_and_recorded(plan: Plan, use: Use) -> None:
    use(label_all)
    tracker = FakeTracker()
    folder = run_plan(replace(plan, seeds=(0, 1)), tracker)
    names = [f"fold-{k}-seed-{s}.parquet" for k in range(FOLDS) for s in (0, 1)]
    assert sorted(p.name for p in folder.iterdir()) == sorted([*names, "status.json"])
    assert read_json(folder / "status.json") == {"status": "complete", "reason": ""}
    record = read_json(layout.run(SUITE, DATASET, ENTRY))
    folds = record["boards"][plan.boards[0].id]["folds"]
    assert sorted(folds) == sorted(n.removesuffix(".parquet") for n in names)
    assert all(f["inputs_sha256"] for f in folds.values())
    assert record["mlflow_run"] == "run-0"
    assert len(tracker.folds) == 2 * FOLDS
    assert tracker.outcomes == ["complete"] * 2 * FOLDS
    assert not layout.work("predict", SUITE, DATASET, ENTRY).exists()


def test_a_prediction_is_written_as_the_model_gave_it(plan: Plan, use: Use) -> None:
    use(label_all)
    table = read_parquet(run_plan(plan) / "fold-1-seed-0.parquet")
    truth = read_parquet(
        layout.truth(SUITE, DATASET) / plan.boards[0].id / "fold-1" / "truth.parquet"
    )
    assert sorted(table["cell_id"]) == sorted(truth["cell_id"])
    assert set(table["label"]) == {"A"}


def test_an_exception_of_the_adapter_fails_the_board_with_its_reason(plan: Plan, use: Use) -> None:
    use(raising(ValueError("no\nsuch\tgene"), fold=1))
    tracker = FakeTracker()
    folder = run_plan(plan, tracker)
    status = read_json(folder / "status.json")
    assert status == {"status": "failed", "reason": "fold-1-seed-0: ValueError: no such gene"}
    assert tracker.outcomes == ["complete", "failed", "complete"]
    record = read_json(layout.run(SUITE, DATASET, ENTRY))["boards"][plan.boards[0].id]
    assert record["folds"]["fold-1-seed-0"]["failed"] == "ValueError: no such gene"
    assert record["status"] == "failed"


def test_a_board_that_fails_in_its_first_and_every_fold_still_has_a_status(
    plan: Plan, use: Use
) -> None:
    use(raising(KeyError("gene")))
    folder = run_plan(plan)
    assert [p.name for p in folder.iterdir()] == ["status.json"]
    assert read_json(folder / "status.json")["status"] == "failed"


def test_a_reason_is_never_longer_than_the_table_shows(plan: Plan, use: Use) -> None:
    use(raising(ValueError("x" * 1000)))
    reason = read_json(run_plan(plan) / "status.json")["reason"]
    assert len(reason) == predict.REASON_LENGTH


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (lambda t: t.iloc[1:], "missing, first cell_id="),
        (lambda t: t.assign(label=""), r"label\(s\) are no text"),
        (lambda t: t.drop(columns="label"), "expected the columns"),
        (lambda _t: None, "Error"),
        (lambda t: t.assign(cell_id="a\r\nb"), "cell_id"),
    ],
    ids=["missing cell", "empty label", "no label", "no table", "id with a line break"],
)
def test_a_prediction_that_breaks_the_schema_fails_the_board_in_one_line(
    plan: Plan, use: Use, spoil: Callable[[pd.DataFrame], Any], told: str
) -> None:
    use(lambda inputs, run: spoil(label_all(inputs, run)))
    status = read_json(run_plan(plan) / "status.json")
    assert status["status"] == "failed"
    assert pd.Series(status["reason"]).str.contains(told).all()
    assert status["reason"].isprintable()


class OutOfMemoryError(RuntimeError):
    """As torch names its own."""


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        OSError(28, "No space left on device"),
        LeakageError("leak"),
        ContractError("contract"),
        OutOfMemoryError("CUDA out of memory"),
        KeyboardInterrupt(),
    ],
    ids=lambda error: type(error).__name__,
)
def test_an_error_that_is_not_the_adapters_stops_the_run_without_output(
    plan: Plan, use: Use, error: BaseException
) -> None:
    use(raising(error, fold=1))
    with pytest.raises(type(error)):
        run_plan(plan)
    assert not layout.predictions(SUITE, DATASET, ENTRY).exists()
    assert not layout.run(SUITE, DATASET, ENTRY).exists()


def test_a_config_error_is_no_fault_of_the_adapter(plan: Plan, use: Use) -> None:
    use(raising(ConfigError("params")))
    with pytest.raises(HeldoutError, match="params"):
        run_plan(plan)


def test_a_killed_fold_finds_its_checkpoint_again_and_leaves_none(plan: Plan, use: Use) -> None:
    found: list[str] = []

    def dying_once(inputs: "AnnData", run: RunContext) -> pd.DataFrame:
        assert run.work is not None
        kept = run.work / "checkpoint"
        found.append(kept.read_text() if kept.is_file() else "")
        run.work.mkdir(parents=True, exist_ok=True)
        kept.write_text(test_ids(inputs)[0])
        if len(found) == 2:
            raise KeyboardInterrupt
        return label_all(inputs, run)

    use(dying_once)
    with pytest.raises(KeyboardInterrupt):
        run_plan(plan)
    folder = run_plan(plan)
    second = read_parquet(folder / "fold-1-seed-0.parquet")["cell_id"]
    assert [bool(text) for text in found] == [False, False, True, False]
    assert found[2] in set(second)
    assert sorted(path.suffix for path in folder.iterdir()) == [".json", *[".parquet"] * FOLDS]
