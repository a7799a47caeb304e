"""Every model keeps the promises of its kind. A newcomer is tested by existing."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from leaderboard.errors import LeakageError, PredictionError
from leaderboard.models import MODELS
from leaderboard.predict import shown_to
from leaderboard.spec import Annotator, Case, CellSampler, Model
from leaderboard.submission.entry import read_entries
from leaderboard.tasks import TASKS
from leaderboard.tasks._answers import check_cells
from tests.plugins._asking import (
    CAPABILITY,
    KEYS,
    REFUSED,
    Cases,
    adapter_of,
    ask,
    asked_of,
    numbers_and_text,
    pairs,
    run_of,
)
from tests.plugins._examples import each

SAMPLERS = [
    m
    for m in MODELS.values()
    if "perturbation_prediction" in m.tasks and isinstance(m.load(), CellSampler)
]
each_sampler = pytest.mark.parametrize("model", SAMPLERS, ids=lambda m: str(m.name))


@each(MODELS)
def test_a_model_answers_tasks_and_suites_that_exist(plugin: Model) -> None:
    assert plugin.label
    assert plugin.tasks
    assert set(plugin.tasks) <= set(TASKS)
    assert set(plugin.suites) <= {"known_truth", "public_small", "public_large"}


@each(MODELS)
def test_an_adversary_says_so_and_sees_no_truth(plugin: Model) -> None:
    assert plugin.is_adversary == ("(adversary)" in plugin.label)
    assert not (plugin.is_adversary and plugin.sees_truth)


@pairs()
def test_a_model_has_the_capability_of_every_task_that_it_declares(model: Model, task: str) -> None:
    assert task in CAPABILITY, f"add the capability of {task} to tests/plugins/_asking.py"
    protocol, method = CAPABILITY[task]
    adapter = model.load()
    assert isinstance(adapter, protocol)
    assert callable(getattr(adapter, method))


def answer(model: Model, task: str, cases: Cases) -> Any:
    case, truth = cases[task]
    inputs = shown_to(case.inputs, model, TASKS[task])
    return TASKS[task].ask(adapter_of(model), inputs, case.queries, run_of(model, truth))


@pairs(but=REFUSED)
def test_a_model_answers_validly(cases: Cases, model: Model, task: str) -> None:
    found = answer(model, task, cases)
    TASKS[task].check_prediction(found.table, *asked_of(task, cases[task][0]))
    assert (found.cells is not None) == (task in CAPABILITY and model in SAMPLERS)


@pytest.mark.parametrize("task", MODELS[REFUSED].tasks)
def test_the_filler_of_nan_is_refused_and_told_why(cases: Cases, task: str) -> None:
    with pytest.raises(PredictionError, match=r"NaN or infinity|not finite"):
        answer(MODELS[REFUSED], task, cases)


def test_every_task_has_a_filler_that_is_refused() -> None:
    assert set(MODELS[REFUSED].tasks) == set(TASKS)


@pairs()
def test_a_model_gives_the_same_answer_for_the_same_seed(
    cases: Cases, model: Model, task: str
) -> None:
    pd.testing.assert_frame_equal(
        ask(model, task, cases, seed=3), ask(model, task, cases, seed=3), check_exact=True
    )


@pairs()
def test_a_model_does_not_change_its_inputs(cases: Cases, model: Model, task: str) -> None:
    inputs = cases[task][0].inputs.copy()
    ask(model, task, cases, inputs=inputs)
    original = cases[task][0].inputs
    assert (inputs.X != original.X).nnz == 0
    pd.testing.assert_frame_equal(inputs.obs, original.obs)
    pd.testing.assert_frame_equal(inputs.var, original.var)
    assert set(inputs.layers) == set(original.layers)
    for place in ("obsm", "uns"):
        now, before = getattr(inputs, place), getattr(original, place)
        assert set(now) == set(before)
        for key, value in before.items():
            np.testing.assert_array_equal(now[key], value)


@pairs(is_stochastic=False)
def test_a_model_that_draws_nothing_ignores_the_order_of_cells(
    cases: Cases, model: Model, task: str
) -> None:
    case, _ = cases[task]
    order = np.random.default_rng(1).permutation(case.inputs.n_obs)
    keys = KEYS[task]
    text, values = numbers_and_text(ask(model, task, cases), keys)
    permuted = ask(model, task, cases, inputs=case.inputs[order].copy())
    permuted_text, permuted_values = numbers_and_text(permuted, keys)
    pd.testing.assert_frame_equal(text, permuted_text)
    np.testing.assert_allclose(values, permuted_values, atol=1e-4)


@pairs(is_stochastic=False)
def test_a_model_that_draws_nothing_ignores_the_seed(cases: Cases, model: Model, task: str) -> None:
    one, other = (ask(model, task, cases, seed=s) for s in (0, 1))
    pd.testing.assert_frame_equal(one, other, check_exact=True)


@pairs(is_stochastic=True)
def test_a_stochastic_model_listens_to_the_seed(cases: Cases, model: Model, task: str) -> None:
    one, other = (ask(model, task, cases, seed=s) for s in (0, 1))
    assert not one.equals(other)


@pairs(sees_truth=True)
def test_a_model_that_sees_the_truth_stops_without_it(
    cases: Cases, model: Model, task: str
) -> None:
    case, _ = cases[task]
    run = run_of(MODELS["majority"], None)
    arguments = [case.inputs.copy(), *([] if case.queries is None else [case.queries]), run]
    with pytest.raises(LeakageError, match="without being marked `sees_truth`"):
        getattr(model.load(), CAPABILITY[task][1])(*arguments)


def test_only_the_controls_of_this_repository_see_the_truth(in_root: Path) -> None:
    assert in_root.is_dir()
    for name, entry in read_entries().items():
        seeing = [m for m in entry.models() if MODELS[m].sees_truth]
        assert not seeing or entry.kind == "controls", name


# Models that draw cells


def test_a_board_that_asks_for_no_cells_gets_none(screen_case: Case) -> None:
    run = run_of(MODELS["control_mean"], None)
    adapter = MODELS["control_mean"].load()
    task = TASKS["perturbation_prediction"]
    found = task.ask(adapter, screen_case.inputs.copy(), screen_case.queries, run)
    assert screen_case.inputs.uns["cells"] == 0
    assert found.cells is None


def sample(model: Model, cases: Cases, seed: int = 0, order: Any = None) -> pd.DataFrame:
    case, truth = cases["perturbation_prediction"]
    inputs = case.inputs.copy() if order is None else case.inputs[order].copy()
    assert case.queries is not None
    cells: pd.DataFrame = adapter_of(model).sample(inputs, case.queries, run_of(model, truth, seed))
    return cells


def test_the_simple_means_draw_cells_so_that_metrics_of_cells_have_baselines() -> None:
    assert {m.name for m in SAMPLERS} >= {"control_mean", "training_mean"}
    assert not any(isinstance(m.load(), Annotator) for m in SAMPLERS)


@each_sampler
def test_drawn_cells_pass_the_check_and_have_the_mean_of_their_prediction(
    cases: Cases, model: Model
) -> None:
    case, _ = cases["perturbation_prediction"]
    cells, genes = sample(model, cases), list(map(str, case.inputs.var_names))
    assert case.queries is not None
    check_cells(cells, case.queries, genes)
    assert set(cells.groupby(["perturbation", "context"]).size()) == {20}
    table = ask(model, "perturbation_prediction", cases)
    mean = table[table["statistic"] == "mean"].set_index(["perturbation", "context"])[genes]
    drawn = cells.groupby(["perturbation", "context"])[genes]
    error = drawn.std() / np.sqrt(drawn.size().iloc[0])
    z = (drawn.mean() - mean.loc[drawn.mean().index]) / error.where(error > 0)
    assert np.nanmean(np.abs(z.to_numpy()) < 4) > 0.99


@each_sampler
def test_drawn_cells_follow_the_seed_and_not_the_order_of_cells(cases: Cases, model: Model) -> None:
    case, _ = cases["perturbation_prediction"]
    once, again, other = sample(model, cases), sample(model, cases), sample(model, cases, seed=1)
    pd.testing.assert_frame_equal(once, again, check_exact=True)
    assert not once.equals(other)
    order = np.random.default_rng(1).permutation(case.inputs.n_obs)
    pd.testing.assert_frame_equal(once, sample(model, cases, order=order), check_exact=True)
