"""A run of an entry: what fails a board, what stops the run, and what a second run skips."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest

from leaderboard import layout, predict
from leaderboard.config import TierLimits
from leaderboard.errors import ConfigError, ContractError, HeldoutError, LeakageError
from leaderboard.io import read_json, read_parquet, write_h5ad, write_parquet
from leaderboard.predict import Plan, cap_training, predict_dataset
from leaderboard.spec import Board, Case, Log, Model, RunContext

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


@pytest.fixture
def plan(in_folder: Path, atlas: "AnnData", atlas_roles: pd.DataFrame, atlas_board: Board) -> Plan:
    """Write the cases of three folds and plan one fake model on them."""
    from leaderboard.cases import build_case

    assert in_folder.is_dir()
    for fold in range(FOLDS):
        case = build_case(atlas, atlas_roles, atlas_board, fold, "test")
        at = Path(atlas_board.id) / layout.fold_name(fold)
        write_h5ad(layout.cases(SUITE, DATASET) / at / "inputs.h5ad", case.inputs)
        write_parquet(layout.truth(SUITE, DATASET) / at / "truth.parquet", case.truth)
    return Plan(
        entry=ENTRY, suite=SUITE, dataset=DATASET, boards=(atlas_board,), models={"fake": {}},
        seeds=(0,), limits=TierLimits(), threads=1, key="key", splits={atlas_board.id: "abc"},
    )  # fmt: skip


Use = Callable[..., None]


@pytest.fixture
def use(monkeypatch: pytest.MonkeyPatch) -> Use:
    """Put a fake model in the registry."""

    def use_answer(answer: Answer, **changes: Any) -> None:
        model = Model(
            name="fake", label="Fake", tasks=("cell_type_annotation",),
            load=lambda **_parameters: FakeAdapter(answer),
        )  # fmt: skip
        other = replace(model, name="other", tasks=("perturbation_prediction",))
        models = {"fake": replace(model, **changes), "other": other}
        monkeypatch.setattr(predict, "MODELS", models)

    return use_answer


def run_plan(plan: Plan, tracker: FakeTracker | None = None) -> Path:
    tracker = tracker or FakeTracker()
    predict_dataset(plan, tracker)  # type: ignore[arg-type]
    return layout.predictions(SUITE, DATASET, ENTRY) / plan.folder_of("fake") / plan.boards[0].id


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


def test_a_second_run_skips_the_folds_that_the_first_finished(plan: Plan, use: Use) -> None:
    use(raising(MemoryError(), fold=2))
    first, second = FakeTracker(), FakeTracker()
    with pytest.raises(MemoryError):
        run_plan(plan, first)
    assert first.outcomes == ["complete", "complete"]
    use(label_all)
    folder = run_plan(plan, second)
    assert second.folds == ["fake tiny-cell_type_annotation-donor/fold-2 seed 0"]
    assert len(list(folder.glob("*.parquet"))) == FOLDS
    record = read_json(layout.run(SUITE, DATASET, ENTRY))["boards"][plan.boards[0].id]
    assert [record["folds"][f"fold-{k}-seed-0"]["mlflow_run"] for k in range(FOLDS)] == [
        "run-1", "run-2", "run-1",
    ]  # fmt: skip


def test_a_failed_fold_is_kept_too_and_not_run_again(plan: Plan, use: Use) -> None:
    def fail_first_stop_last(inputs: "AnnData", run: RunContext) -> pd.DataFrame:
        order.append(test_ids(inputs)[0])
        if len(order) == 1:
            raise ValueError("no")
        if len(order) == FOLDS:
            raise MemoryError
        return label_all(inputs, run)

    order: list[str] = []
    use(fail_first_stop_last)
    with pytest.raises(MemoryError):
        run_plan(plan)
    use(label_all)
    second = FakeTracker()
    folder = run_plan(plan, second)
    assert len(second.folds) == 1
    assert read_json(folder / "status.json")["reason"] == "fold-0-seed-0: ValueError: no"


def test_a_run_of_other_code_starts_anew(plan: Plan, use: Use) -> None:
    use(raising(MemoryError(), fold=2))
    with pytest.raises(MemoryError):
        run_plan(plan)
    use(label_all)
    second = FakeTracker()
    run_plan(replace(plan, key="other"), second)
    assert len(second.folds) == FOLDS


def test_old_predictions_of_a_board_that_is_gone_are_removed(plan: Plan, use: Use) -> None:
    old = layout.predictions(SUITE, DATASET, ENTRY) / "old-board" / "fold-0-seed-0.parquet"
    write_parquet(old, pd.DataFrame({"cell_id": ["a"]}))
    use(label_all)
    run_plan(plan)
    assert not old.parent.exists()


def test_a_model_without_sees_truth_is_given_no_way_to_the_truth(plan: Plan, use: Use) -> None:
    seen: list[RunContext] = []

    def look(inputs: "AnnData", run: RunContext) -> pd.DataFrame:
        seen.append(run)
        return label_all(inputs, run)

    use(look)
    run_plan(replace(plan, seeds=(3,), limits=TierLimits(max_epochs=4), threads=2))
    assert [r.truth_path for r in seen] == [None] * FOLDS
    assert {(r.seed, r.threads, r.max_epochs) for r in seen} == {(3, 2, 4)}
    seen.clear()
    use(look, sees_truth=True)
    run_plan(plan)
    folder = layout.truth(SUITE, DATASET) / plan.boards[0].id
    assert [r.truth_path for r in seen] == [folder / f"fold-{k}" for k in range(FOLDS)]


def test_the_plugins_of_the_controls_get_folders_of_their_own(plan: Plan, use: Use) -> None:
    use(label_all)
    folder = run_plan(replace(plan, is_controls=True))
    assert folder.parts[-2:] == ("fake", plan.boards[0].id)
    assert (folder / "status.json").is_file()


def test_boards_of_a_task_that_a_plugin_does_not_answer_are_left_out(plan: Plan, use: Use) -> None:
    use(label_all)
    folder = run_plan(replace(plan, is_controls=True, models={"fake": {}, "other": {}}))
    assert folder.is_dir()
    assert not (folder.parents[1] / "other").exists()
    boards = read_json(layout.run(SUITE, DATASET, ENTRY))["boards"]
    assert list(boards) == [f"fake/{plan.boards[0].id}"]


def test_a_model_without_the_capability_fails_and_says_so(plan: Plan, use: Use) -> None:
    use(label_all, load=object)
    status = read_json(run_plan(plan) / "status.json")
    assert "TypeError: fake does not answer cell_type_annotation" in status["reason"]


def test_unknown_parameters_of_a_model_fail_the_board(plan: Plan, use: Use) -> None:
    use(label_all, load=lambda: FakeAdapter(label_all))
    status = read_json(run_plan(replace(plan, models={"fake": {"typo": 1}})) / "status.json")
    assert "TypeError" in status["reason"]
    assert "typo" in status["reason"]


def test_curves_of_a_model_reach_the_tracker(plan: Plan, use: Use) -> None:
    def learn(inputs: "AnnData", run: RunContext) -> pd.DataFrame:
        run.log("loss", 0.25, 1)
        return label_all(inputs, run)

    use(learn)
    tracker = FakeTracker()
    run_plan(plan, tracker)
    assert tracker.curves.count(("loss", 0.25, 1)) == FOLDS
    assert {"model": "fake", "fold": 2, "seed": 0}.items() <= tracker.params[2].items()


def test_a_cap_drops_training_cells_only(atlas_case: Case, screen_case: Case) -> None:
    for case in (atlas_case, screen_case):
        inputs = case.inputs
        capped, n_train = cap_training(inputs, TierLimits(max_train_cells=10), 0)
        before = inputs.obs["role"].value_counts().to_dict()
        after = capped.obs["role"].value_counts().to_dict()
        assert n_train == 10
        assert after == before | {"train": 10}
        assert pd.Index(capped.obs_names).isin(inputs.obs_names).all()
        kept = inputs.obs_names[inputs.obs_names.isin(capped.obs_names)]
        assert list(kept) == list(capped.obs_names)
        assert (capped.X != inputs[kept].X).nnz == 0


def test_a_cap_that_is_not_reached_or_not_set_changes_nothing(atlas_case: Case) -> None:
    n = int((atlas_case.inputs.obs["role"] == "train").sum())
    for limit in (None, n, n + 1):
        capped, n_train = cap_training(atlas_case.inputs, TierLimits(max_train_cells=limit), 0)
        assert capped is atlas_case.inputs
        assert n_train == n


def test_a_cap_draws_by_the_seed(atlas_case: Case) -> None:
    def drawn(seed: int) -> set[str]:
        capped, _ = cap_training(atlas_case.inputs, TierLimits(max_train_cells=50), seed)
        return set(capped.obs_names)

    assert drawn(0) == drawn(0)
    assert drawn(0) != drawn(1)


def test_the_tier_caps_what_a_model_is_given(plan: Plan, use: Use) -> None:
    given: list[int] = []

    def count(inputs: "AnnData", run: RunContext) -> pd.DataFrame:
        given.append(int(np.sum(inputs.obs["role"] == "train")))
        return label_all(inputs, run)

    use(count)
    run_plan(replace(plan, limits=TierLimits(max_train_cells=25)))
    assert given == [25] * FOLDS
    folds = read_json(layout.run(SUITE, DATASET, ENTRY))["boards"][plan.boards[0].id]["folds"]
    assert {f["n_train"] for f in folds.values()} == {25}


def test_a_config_error_is_no_fault_of_the_adapter(plan: Plan, use: Use) -> None:
    use(raising(ConfigError("params")))
    with pytest.raises(HeldoutError, match="params"):
        run_plan(plan)
