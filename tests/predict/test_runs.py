"""A run of an entry: what a second run skips, and what a model is given."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pytest

from leaderboard import layout
from leaderboard.config import TierLimits
from leaderboard.errors import ResourceError
from leaderboard.io import read_json, write_parquet
from leaderboard.models._resources import resource_file
from leaderboard.predict import Plan, cap_training
from leaderboard.spec import Case, RunContext
from tests.predict._runs import (
    DATASET,
    ENTRY,
    FOLDS,
    SUITE,
    FakeAdapter,
    FakeTracker,
    Use,
    label_all,
    raising,
    run_plan,
    test_ids,
)

if TYPE_CHECKING:
    from anndata import AnnData


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


def test_a_model_is_given_the_tables_that_it_declares_and_no_other(plan: Plan, use: Use) -> None:
    seen: list[RunContext] = []

    def look(inputs: "AnnData", run: RunContext) -> pd.DataFrame:
        seen.append(run)
        return label_all(inputs, run)

    tables = {"sets": Path("here"), "prior": Path("there")}
    use(look, resources=("prior",))
    run_plan(replace(plan, resources=tables))
    assert [r.resources for r in seen] == [{"prior": Path("there")}] * FOLDS
    seen.clear()
    use(look)
    run_plan(replace(plan, resources=tables))
    assert [r.resources for r in seen] == [{}] * FOLDS


def test_a_model_that_reads_a_table_undeclared_stops_the_run_without_output(
    plan: Plan, use: Use
) -> None:
    def take(_inputs: "AnnData", run: RunContext) -> pd.DataFrame:
        return pd.read_csv(resource_file(run, "prior", "prior.csv"))

    use(take, resources=("sets",))
    with pytest.raises(ResourceError, match="'prior' and does not declare it; declared: sets"):
        run_plan(replace(plan, resources={"sets": Path("here"), "prior": Path("there")}))
    assert not layout.predictions(SUITE, DATASET, ENTRY).exists()


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
