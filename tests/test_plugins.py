"""Every plug-in keeps the promises of its kind. A newcomer is tested by existing."""

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest

from leaderboard.config import read_datasets, read_params
from leaderboard.datasets import SOURCES
from leaderboard.errors import LeakageError, UndefinedScoreError
from leaderboard.metrics import METRICS
from leaderboard.models import MODELS
from leaderboard.spec import (
    AnnotationUnit,
    Annotator,
    Case,
    Metric,
    Model,
    PerturbationUnit,
    PerturbPredictor,
    RunContext,
    Source,
    Splitter,
    Task,
)
from leaderboard.splits import SPLITTERS
from leaderboard.submission.entry import read_entries
from leaderboard.tasks import TASKS

if TYPE_CHECKING:
    from anndata import AnnData


def each(registry: Any) -> pytest.MarkDecorator:
    """Run a test on every plug-in of a registry."""
    return pytest.mark.parametrize("plugin", list(registry.values()), ids=lambda p: str(p.name))


# A unit record of every task, how to shuffle its parts, and how to answer it well and badly.


def annotation_unit(seed: int) -> AnnotationUnit:
    rng = np.random.default_rng(seed)
    label = rng.permutation(np.resize(list("AAABBCCCCD"), 60))
    predicted = np.where(rng.random(60) < 0.6, label, rng.permutation(label))
    return AnnotationUnit(label=label, predicted=predicted, classes=("A", "B", "C"))


def perturbation_unit(seed: int) -> PerturbationUnit:
    rng = np.random.default_rng(seed)
    control = rng.uniform(0.5, 2.0, 30)
    noise = rng.normal(scale=0.05, size=(3, 30))
    shifts = rng.normal(scale=0.5, size=(7, 30))
    return PerturbationUnit(
        predicted=control + 0.5 * shifts[0] + noise[2],
        truth=control + shifts[0],
        control_input=control + noise[0],
        control_truth=control + noise[1],
        weight=np.abs(shifts[0]),
        other_truths=control + shifts[1:],
    )


UNITS: dict[str, Callable[[int], Any]] = {
    "cell_type_annotation": annotation_unit,
    "perturbation_prediction": perturbation_unit,
}


def reorder(unit: Any, seed: int) -> Any:
    """Shuffle cells, or genes and the other perturbations."""
    rng = np.random.default_rng(seed)
    if isinstance(unit, AnnotationUnit):
        order = rng.permutation(len(unit.label))
        classes = tuple(rng.permutation(unit.classes))
        return replace(
            unit, label=unit.label[order], predicted=unit.predicted[order], classes=classes
        )
    assert isinstance(unit, PerturbationUnit)
    order = rng.permutation(len(unit.truth))
    others = rng.permutation(unit.other_truths)[:, order]
    names = ("predicted", "truth", "control_input", "control_truth", "weight")
    return replace(unit, other_truths=others, **{n: getattr(unit, n)[order] for n in names})


def answered(unit: Any, seed: int | None = None) -> Any:
    """Answer with the truth, or under a seed with the truth dealt to the wrong cells or genes."""
    rng = np.random.default_rng(seed)
    if isinstance(unit, AnnotationUnit):
        label = unit.label if seed is None else rng.permutation(unit.label)
        return replace(unit, predicted=label)
    assert isinstance(unit, PerturbationUnit)
    shift = unit.truth - unit.control_truth
    shift = shift if seed is None else rng.permutation(shift)
    if seed is None and np.allclose(unit.control_input, unit.control_truth):
        return replace(unit, predicted=unit.truth)
    return replace(unit, predicted=unit.control_input + shift)


def units_of(metric: Metric, n: int) -> list[Any]:
    missing = set(metric.tasks) - set(UNITS)
    assert not missing, f"add an example unit of {missing} to UNITS in tests/test_plugins.py"
    return [UNITS[task](seed) for task in metric.tasks for seed in range(n)]


@each(METRICS)
def test_a_metric_answers_tasks_that_exist_and_says_what_it_is(plugin: Metric) -> None:
    assert plugin.tasks
    assert set(plugin.tasks) <= set(TASKS)
    assert plugin.label
    assert plugin.citation
    low, high = plugin.bounds
    assert low < high


@each(METRICS)
def test_a_metric_stays_in_its_bounds(plugin: Metric) -> None:
    low, high = plugin.bounds
    for unit in units_of(plugin, 10):
        for case in (unit, answered(unit), answered(unit, 0)):
            value = plugin.compute(case)
            assert isinstance(value, float)
            assert math.isfinite(value)
            assert low <= value <= high


@each(METRICS)
def test_a_metric_ignores_the_order_of_cells_and_genes(plugin: Metric) -> None:
    for unit in units_of(plugin, 10):
        value = plugin.compute(unit)
        for seed in range(3):
            assert plugin.compute(reorder(unit, seed)) == pytest.approx(value, abs=1e-9)


@each(METRICS)
def test_a_metric_gives_the_same_value_again(plugin: Metric) -> None:
    for unit in units_of(plugin, 3):
        assert plugin.compute(unit) == plugin.compute(unit)


@each(METRICS)
def test_a_metric_does_not_change_what_it_is_given(plugin: Metric) -> None:
    for unit in units_of(plugin, 2):
        before = {k: np.array(v, copy=True) for k, v in vars(unit).items()}
        plugin.compute(unit)
        for name, value in before.items():
            np.testing.assert_array_equal(np.asarray(getattr(unit, name)), value)


@each(METRICS)
def test_the_truth_scores_at_least_as_well_as_a_shuffled_truth(plugin: Metric) -> None:
    sign = 1.0 if plugin.higher_is_better else -1.0
    for unit in units_of(plugin, 5):
        best = sign * plugin.compute(answered(unit))
        shuffled = [sign * plugin.compute(answered(unit, seed)) for seed in range(10)]
        assert best >= max(shuffled)
        assert best > np.mean(shuffled)


@each(METRICS)
def test_a_ranked_metric_has_a_floor_inside_its_bounds_or_the_task_computes_it(
    plugin: Metric,
) -> None:
    if plugin.floor is not None:
        assert plugin.bounds[0] <= plugin.floor <= plugin.bounds[1]
    elif plugin.is_ranked:
        assert set(plugin.tasks) == {"cell_type_annotation"}, "no task computes this floor"


@each(METRICS)
def test_the_floor_is_no_better_than_the_truth(plugin: Metric) -> None:
    if plugin.floor is None:
        return
    sign = 1.0 if plugin.higher_is_better else -1.0
    for unit in units_of(plugin, 5):
        assert sign * plugin.compute(answered(unit)) > sign * plugin.floor


@each(METRICS)
def test_what_a_metric_displays_rises_with_what_it_stores(plugin: Metric) -> None:
    shown = [plugin.display(v) for v in (-1.0, 0.0, 0.5, 1.0)]
    assert shown == sorted(shown)
    assert len(set(shown)) == 4
    assert bool(plugin.display_note) == (shown != [-1.0, 0.0, 0.5, 1.0])


@each(TASKS)
def test_a_task_has_a_question_and_a_ranked_metric_to_sort_by(plugin: Task) -> None:
    assert plugin.question.endswith("?")
    ranked = {m.name for m in METRICS.values() if m.is_ranked and plugin.name in m.tasks}
    assert plugin.ranked_order[0] in ranked
    assert ranked <= set(plugin.ranked_order)


@each(TASKS)
def test_the_declared_baselines_of_a_task_are_entries_of_the_tree_that_answer_it(
    in_root: Path, plugin: Task
) -> None:
    assert in_root.is_dir()
    entries = read_entries()
    assert len(plugin.declared_baselines) >= 2
    for name in plugin.declared_baselines:
        assert entries[name].baseline
        assert any(plugin.name in MODELS[m].tasks for m in entries[name].models())


@each(TASKS)
def test_a_task_has_the_controls_that_must_win_and_lose(plugin: Task) -> None:
    seeing = [m for m in MODELS.values() if m.sees_truth and plugin.name in m.tasks]
    assert {"oracle", "shuffled"} <= {m.name for m in seeing}


@each(SPLITTERS)
def test_a_splitter_says_which_column_it_holds_out(plugin: Splitter) -> None:
    known = {"donor_id", "batch", "tissue", "time", "condition", "perturbation", "cell_line"}
    assert plugin.column is None or plugin.column in known
    assert (plugin.column is None) == (plugin.name in {"random", "context"})


@each(SOURCES)
def test_a_source_serves_a_dataset_and_can_do_what_its_record_asks(
    in_root: Path, plugin: Source
) -> None:
    assert in_root.is_dir()
    served = [
        (suite, name, record)
        for suite, records in read_datasets().items()
        for name, record in records.items()
        if record.source == plugin.name
    ]
    assert served
    for suite, name, record in served:
        assert callable(plugin.read)
        assert bool(record.parameters) == (plugin.simulate is not None)
        assert (suite == "known_truth") == (plugin.simulate is not None)
        asks = {board.task for board in read_params().boards_of(name)}
        if suite == "known_truth" and "perturbation_prediction" in asks:
            assert plugin.true_profiles is not None


def test_every_record_names_a_source_that_exists(in_root: Path) -> None:
    assert in_root.is_dir()
    for records in read_datasets().values():
        assert {record.source for record in records.values()} <= set(SOURCES)


# Models, on the tiny cases of tests/conftest.py.

CAPABILITY = {
    "cell_type_annotation": (Annotator, "annotate"),
    "perturbation_prediction": (PerturbPredictor, "predict"),
}
SIZES = {
    "logistic_regression": {"n_dims": 8},
    "nearest_centroid": {"n_dims": 8},
    "torch_mlp": {"epochs": 3, "hidden": 8},
}
"""Parameters that suit 40 genes; what is not named runs with its defaults."""
TASK_OF_MODEL = [(m, task) for m in MODELS.values() for task in m.tasks]
each_model = pytest.mark.parametrize(
    ("model", "task"), TASK_OF_MODEL, ids=[f"{m.name}-{task}" for m, task in TASK_OF_MODEL]
)
Cases = dict[str, tuple[Case, Path]]


@pytest.fixture
def cases(atlas_case: Case, atlas_truth: Path, screen_case: Case, screen_truth: Path) -> Cases:
    return {
        "cell_type_annotation": (atlas_case, atlas_truth),
        "perturbation_prediction": (screen_case, screen_truth),
    }


def no_log(name: str, value: float, step: int) -> None:
    """Take a point of a curve, which must be a number, and drop it."""
    assert name
    assert math.isfinite(value)
    assert step >= 0


def ask(
    model: Model, task: str, cases: Cases, *, seed: int = 0, inputs: "AnnData | None" = None
) -> pd.DataFrame:
    """Let a model answer a task's case; only models that see the truth are given it."""
    assert task in cases, f"add a tiny case of {task} to tests/conftest.py"
    case, truth = cases[task]
    inputs = case.inputs.copy() if inputs is None else inputs
    run = RunContext(
        seed=seed,
        threads=1,
        max_epochs=3,
        log=no_log,
        truth_path=truth if model.sees_truth else None,
    )
    adapter = model.load(**SIZES.get(model.name, {}))
    if case.queries is None:
        labels: pd.DataFrame = adapter.annotate(inputs, run)
        return labels
    profiles: pd.DataFrame = adapter.predict(inputs, case.queries.copy(), run)
    return profiles


def numbers_and_text(table: pd.DataFrame, keys: list[str]) -> tuple[pd.DataFrame, np.ndarray]:
    """Sort by key and take a prediction apart into text and numbers."""
    table = table.sort_values(keys).reset_index(drop=True)
    is_number = [dtype.kind == "f" for dtype in table.dtypes]
    text = table.loc[:, [not n for n in is_number]]
    return text, table.loc[:, is_number].to_numpy(dtype=np.float64)


@each(MODELS)
def test_a_model_answers_tasks_and_suites_that_exist(plugin: Model) -> None:
    assert plugin.label
    assert plugin.tasks
    assert set(plugin.tasks) <= set(TASKS)
    assert set(plugin.suites) <= {"known_truth", "public_small", "public_large"}


@each_model
def test_a_model_has_the_capability_of_every_task_that_it_declares(model: Model, task: str) -> None:
    assert task in CAPABILITY, f"add the capability of {task} to tests/test_plugins.py"
    protocol, method = CAPABILITY[task]
    adapter = model.load()
    assert isinstance(adapter, protocol)
    assert callable(getattr(adapter, method))


@each_model
def test_a_model_answers_validly(cases: Cases, model: Model, task: str) -> None:
    case, _ = cases[task]
    prediction = ask(model, task, cases)
    keys, names = case.queries, list(map(str, case.inputs.var_names))
    if keys is None:
        keys = case.truth[["cell_id"]]
        names = sorted(case.inputs.obs["cell_type"].dropna().astype(str).unique())
    TASKS[task].check_prediction(prediction, keys, names)


@each_model
def test_a_model_gives_the_same_answer_for_the_same_seed(
    cases: Cases, model: Model, task: str
) -> None:
    pd.testing.assert_frame_equal(
        ask(model, task, cases, seed=3), ask(model, task, cases, seed=3), check_exact=True
    )


@each_model
def test_a_model_does_not_change_its_inputs(cases: Cases, model: Model, task: str) -> None:
    inputs = cases[task][0].inputs.copy()
    ask(model, task, cases, inputs=inputs)
    original = cases[task][0].inputs
    assert (inputs.X != original.X).nnz == 0
    pd.testing.assert_frame_equal(inputs.obs, original.obs)
    pd.testing.assert_frame_equal(inputs.var, original.var)
    assert set(inputs.obsm) == set(original.obsm)
    assert set(inputs.layers) == set(original.layers)
    assert dict(inputs.uns) == dict(original.uns)


@pytest.mark.parametrize(
    ("model", "task"),
    [(m, task) for m, task in TASK_OF_MODEL if not m.is_stochastic],
    ids=[f"{m.name}-{task}" for m, task in TASK_OF_MODEL if not m.is_stochastic],
)
def test_a_model_that_draws_nothing_ignores_the_order_of_cells(
    cases: Cases, model: Model, task: str
) -> None:
    case, _ = cases[task]
    order = np.random.default_rng(1).permutation(case.inputs.n_obs)
    keys = ["cell_id"] if case.queries is None else ["perturbation", "context", "statistic"]
    text, values = numbers_and_text(ask(model, task, cases), keys)
    permuted = ask(model, task, cases, inputs=case.inputs[order].copy())
    permuted_text, permuted_values = numbers_and_text(permuted, keys)
    pd.testing.assert_frame_equal(text, permuted_text)
    np.testing.assert_allclose(values, permuted_values, atol=1e-4)


@pytest.mark.parametrize(
    "model", [m for m in MODELS.values() if not m.is_stochastic], ids=lambda m: str(m.name)
)
def test_a_model_that_draws_nothing_ignores_the_seed(cases: Cases, model: Model) -> None:
    for task in model.tasks:
        one, other = (ask(model, task, cases, seed=s) for s in (0, 1))
        pd.testing.assert_frame_equal(one, other, check_exact=True)


@pytest.mark.parametrize(
    "model", [m for m in MODELS.values() if m.is_stochastic], ids=lambda m: str(m.name)
)
def test_a_stochastic_model_listens_to_the_seed(cases: Cases, model: Model) -> None:
    for task in model.tasks:
        one, other = (ask(model, task, cases, seed=s) for s in (0, 1))
        assert not one.equals(other)


@pytest.mark.parametrize(
    "model", [m for m in MODELS.values() if m.sees_truth], ids=lambda m: str(m.name)
)
def test_a_model_that_sees_the_truth_stops_without_it(cases: Cases, model: Model) -> None:
    for task in model.tasks:
        case, _ = cases[task]
        run = RunContext(seed=0, threads=1, max_epochs=None, log=no_log)
        arguments = [case.inputs.copy(), *([] if case.queries is None else [case.queries]), run]
        with pytest.raises(LeakageError, match="without being marked `sees_truth`"):
            getattr(model.load(), CAPABILITY[task][1])(*arguments)


@pytest.mark.parametrize("n_genes", [10, 20, 30])
def test_the_choice_of_genes_and_components_ignores_the_order_of_cells(
    cases: Cases, n_genes: int
) -> None:
    """Also where the last gene chosen ties with the next."""
    from leaderboard.models._hvg_pca import hvg_pca

    inputs = cases["cell_type_annotation"][0].inputs
    order = np.random.default_rng(1).permutation(inputs.n_obs)
    one, other = hvg_pca(inputs, n_genes, 5), hvg_pca(inputs[order].copy(), n_genes, 5)
    np.testing.assert_allclose(one[order], other, atol=1e-8)


def test_only_the_controls_of_this_repository_see_the_truth(in_root: Path) -> None:
    assert in_root.is_dir()
    for name, entry in read_entries().items():
        seeing = [m for m in entry.models() if MODELS[m].sees_truth]
        assert not seeing or entry.kind == "controls", name


def test_the_fitted_models_find_the_easy_types(cases: Cases) -> None:
    truth = cases["cell_type_annotation"][0].truth.set_index("cell_id")["label"]
    for name in ("logistic_regression", "nearest_centroid"):
        prediction = ask(MODELS[name], "cell_type_annotation", cases).set_index("cell_id")["label"]
        assert (prediction == truth[prediction.index]).mean() > 0.9, name


def test_majority_answers_with_the_commonest_label_of_training(cases: Cases) -> None:
    prediction = ask(MODELS["majority"], "cell_type_annotation", cases)
    label = cases["cell_type_annotation"][0].inputs.obs["cell_type"].dropna().astype(str)
    assert set(prediction["label"]) == {label.value_counts().idxmax()}
    shares = label.value_counts(normalize=True)
    for name, share in shares.items():
        assert prediction[f"p:{name}"].to_numpy() == pytest.approx(share, abs=1e-6)


def dense_profiles(inputs: "AnnData") -> pd.DataFrame:
    """Return log-normalised cells with their keys, the plain way."""
    counts = inputs.X.toarray().astype(np.float64)
    values = np.log1p(counts / counts.sum(axis=1, keepdims=True) * inputs.uns["target_sum"])
    table = pd.DataFrame(values, columns=list(inputs.var_names))
    for column in ("role", "perturbation", "context"):
        table[column] = inputs.obs[column].to_numpy(dtype=str)
    return table


def test_the_mean_predictors_equal_their_formulas(cases: Cases) -> None:
    case, _ = cases["perturbation_prediction"]
    assert case.queries is not None
    cells = dense_profiles(case.inputs)
    genes = list(case.inputs.var_names)
    control = cells[cells["role"] == "control_input"].groupby("context")[genes].mean()
    trained = cells[cells["role"].isin(["train", "validation"])]
    profiles = trained.groupby(["perturbation", "context"])[genes].mean()
    shift = (profiles - control.loc[profiles.index.get_level_values("context")].to_numpy()).mean()
    expected = {
        "control_mean": control.loc[case.queries["context"]].to_numpy(),
        "training_mean": profiles.groupby("context").mean().loc[case.queries["context"]].to_numpy(),
        "delta_shift": control.loc[case.queries["context"]].to_numpy() + shift.to_numpy(),
    }
    for name, values in expected.items():
        found = ask(MODELS[name], "perturbation_prediction", cases)
        pd.testing.assert_frame_equal(found[["perturbation", "context"]], case.queries)
        np.testing.assert_allclose(found[genes].to_numpy(), values, atol=1e-5, err_msg=name)


def test_a_metric_that_is_undefined_says_so_with_an_error_of_its_own() -> None:
    empty = replace(annotation_unit(0), classes=())
    with pytest.raises(UndefinedScoreError):
        METRICS["macro_f1"].compute(empty)
    flat = replace(perturbation_unit(0), other_truths=np.zeros((0, 30)))
    with pytest.raises(UndefinedScoreError):
        METRICS["pds"].compute(flat)
