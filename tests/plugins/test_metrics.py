"""Every metric keeps the promises of its kind. A newcomer is tested by existing."""

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from leaderboard.errors import UndefinedScoreError
from leaderboard.metrics import METRICS
from leaderboard.score import score_unit
from leaderboard.spec import IntegrationUnit, Metric, Observation
from leaderboard.tasks import TASKS
from tests.plugins._examples import OWN, TRUTH, Variant, each, needs_cells, units_of

WRONG = [Variant(answer="wrong", seed=seed) for seed in range(5)]


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
    for how in (OWN, TRUTH, WRONG[0]):
        for unit in units_of(plugin, 4, how):
            value = plugin.compute(unit)
            assert isinstance(value, float)
            assert math.isfinite(value)
            assert low <= value <= high


@each(METRICS)
def test_a_metric_ignores_the_order_of_cells_and_genes(plugin: Metric) -> None:
    found = {}
    for order in (None, 0, 1):
        how = [replace(OWN, order=order), replace(WRONG[0], order=order)]
        found[order] = [plugin.compute(u) for h in how for u in units_of(plugin, 3, h)]
    assert len(set(found[None])) > 1
    assert found[0] == pytest.approx(found[None], abs=1e-9)
    assert found[1] == pytest.approx(found[None], abs=1e-9)


@each(METRICS)
def test_a_metric_gives_the_same_value_again(plugin: Metric) -> None:
    once, again = (
        [plugin.compute(unit) for unit in units]
        for units in (units_of(plugin, 3), units_of(plugin, 3))
    )
    assert once == again


@each(METRICS)
def test_a_metric_does_not_change_what_it_is_given(plugin: Metric) -> None:
    for unit in units_of(plugin, 2):
        values = {k: v for k, v in vars(unit).items() if isinstance(v, np.ndarray)}
        before = {k: v.copy() for k, v in values.items()}
        first = plugin.compute(unit)
        assert values
        for name, value in before.items():
            np.testing.assert_array_equal(values[name], value)
        assert plugin.compute(unit) == first


@each(METRICS)
def test_the_truth_scores_better_than_a_shuffled_truth(plugin: Metric) -> None:
    sign = 1.0 if plugin.higher_is_better else -1.0
    best = [sign * plugin.compute(unit) for unit in units_of(plugin, 3, TRUTH)]
    wrong = [[sign * plugin.compute(u) for u in units_of(plugin, 3, how)] for how in WRONG]
    for unit, value in enumerate(best):
        dealt = [row[unit] for row in wrong]
        assert value >= max(dealt)
        assert value > np.mean(dealt)


@each(METRICS)
def test_a_half_right_answer_is_between_the_truth_and_a_shuffled_truth(plugin: Metric) -> None:
    sign = 1.0 if plugin.higher_is_better else -1.0
    means = [
        np.mean([sign * plugin.compute(unit) for unit in units_of(plugin, 6, how)])
        for how in (TRUTH, OWN, WRONG[0])
    ]
    assert means[0] >= means[1] >= means[2]
    assert means[0] > means[2]


@each(METRICS)
def test_a_ranked_metric_has_a_floor_inside_its_bounds_or_the_task_computes_it(
    plugin: Metric,
) -> None:
    if plugin.floor is not None:
        assert plugin.bounds[0] <= plugin.floor <= plugin.bounds[1]
    elif plugin.is_ranked:
        computing = {"cell_type_annotation", "batch_integration"}
        assert set(plugin.tasks) <= computing, "no task computes this floor"


@pytest.mark.parametrize(
    "metric", [m for m in METRICS.values() if m.floor is not None], ids=lambda m: str(m.name)
)
def test_the_floor_is_no_better_than_the_truth(metric: Metric) -> None:
    sign = 1.0 if metric.higher_is_better else -1.0
    assert metric.floor is not None
    for unit in units_of(metric, 3, TRUTH):
        assert sign * metric.compute(unit) > sign * metric.floor


@each(METRICS)
def test_what_a_metric_displays_rises_with_what_it_stores(plugin: Metric) -> None:
    shown = [plugin.display(v) for v in (-1.0, 0.0, 0.5, 1.0)]
    assert shown == sorted(shown)
    assert len(set(shown)) == 4
    assert bool(plugin.display_note) == (shown != [-1.0, 0.0, 0.5, 1.0])


@each(METRICS)
def test_a_pooled_metric_counts_what_it_pools(plugin: Metric) -> None:
    if plugin.count is None:
        assert not plugin.is_pooled
        return
    for unit in units_of(plugin, 3):
        n = plugin.count(unit)
        assert isinstance(n, int)
        if isinstance(unit, IntegrationUnit):
            assert 0 < n <= unit.own.sum()
            continue
        assert 0 < n <= len(unit.label)
        hits = plugin.compute(unit) * n
        assert hits == pytest.approx(round(hits), abs=1e-9)


# Undefined is an error with a reason, and a blank in the table: never 0


def without_shift(unit: Any) -> Any:
    return replace(unit, truth=unit.control_truth)


def without_differences(unit: Any) -> Any:
    return replace(unit, truth=unit.truth * 0)


def without_targets(unit: Any) -> Any:
    return replace(unit, sign=unit.sign * 0)


def relabelled(unit: Any, **columns: Any) -> Any:
    return replace(unit, cells=replace(unit.cells, **columns))


def one_batch(unit: Any) -> Any:
    return relabelled(unit, batch=np.repeat("x", len(unit.own)))


def one_place(unit: Any) -> Any:
    return relabelled(unit, embedding=np.zeros_like(unit.cells.embedding))


NEVER = {"accuracy", "mse", "mae", "rmse"}
"""Metrics that every unit with a cell and a gene defines."""
UNDEFINED: dict[str, Any] = {
    **dict.fromkeys(("auprc", "auprc_ratio", "early_precision", "sign_accuracy"), without_targets),
    "auprc_ratio_degree": lambda u: replace(u, degree_auprc=0.0),
    "cilisi": one_batch,
    "ilisi": one_batch,
    "kbet": one_batch,
    "bras": one_batch,
    "pcr_comparison": one_batch,
    "clisi": one_place,
    "knn_purity": one_place,
    "nmi": one_place,
    "ari": one_place,
    "graph_connectivity": one_place,
    "isolated_label_f1": lambda u: relabelled(u, isolated=()),
    "macro_f1": lambda u: replace(u, classes=()),
    "balanced_accuracy": lambda u: replace(u, classes=()),
    "aurc": lambda u: replace(u, probability=None),
    "ece": lambda u: replace(u, probability=None),
    "brier": lambda u: replace(u, probability=None),
    "open_set_auroc": lambda u: replace(u, is_unseen=None),
    "rare_recall": lambda u: replace(u, rare=()),
    "nwmse": lambda u: replace(u, weight=u.weight * 0),
    "wmse": lambda u: replace(u, weight=u.weight * 0),
    "r2_delta_weighted": without_shift,
    "pds": lambda u: replace(u, other_truths=u.other_truths[:3]),
    "pearson_delta": lambda u: replace(u, predicted=u.control_input),
    "pearson_delta_reference": lambda u: replace(u, predicted=u.reference),
    "synergy_error": lambda u: replace(u, singles=None),
    "synergy_auroc": lambda u: replace(u, singles=None),
    "de_direction": without_shift,
    "de_mcc": without_shift,
    "de_overlap": lambda u: replace(u, predicted_variance=None),
    "interval_gap": lambda u: replace(u, predicted_error=None),
    "crps": lambda u: replace(u, predicted_error=None),
    "uncertainty_over_genes": lambda u: replace(u, predicted_error=None),
    "uncertainty_over_perturbations": lambda u: replace(u, block=np.arange(len(u.units))),
    "pearson_per_protein": without_differences,
    "pearson_per_cell": without_differences,
    "property_auroc": lambda u: replace(u, has_property=u.has_property | True),
    "property_auroc_matched": lambda u: replace(u, family=np.where(u.has_property, "a", "b")),
    "pearson_within_type": lambda u: replace(u, label=np.repeat("", len(u.truth))),
}
"""By metric, a unit in which it has no value; for metrics of cells, one without cells."""


@each(METRICS)
def test_undefined_is_an_error_with_a_reason_and_a_blank_in_the_table(plugin: Metric) -> None:
    if plugin.name in NEVER:
        assert plugin.name not in UNDEFINED
        return
    spoil = (lambda u: replace(u, cells=None)) if needs_cells(plugin) else None
    spoil = spoil or UNDEFINED.get(plugin.name)
    assert spoil, f"say where {plugin.name} is undefined, in tests/plugins/test_metrics.py"
    for unit in units_of(plugin, 2):
        spoiled = spoil(unit)
        with pytest.raises(UndefinedScoreError) as raised:
            plugin.compute(spoiled)
        assert len(str(raised.value)) > 10
        observation = Observation(fold=0, seed=0, unit="u", n=9, parts=(spoiled,))
        (value,) = score_unit(observation, [plugin])
        assert (value.value, value.status, value.reason) == (None, "undefined", str(raised.value))


@each(METRICS)
def test_a_unit_whose_context_lacks_controls_is_blank_where_a_metric_needs_them(
    plugin: Metric,
) -> None:
    unit = units_of(plugin, 1)[0]
    told = "40 control cells in k1, 100 needed"
    observation = Observation(fold=0, seed=0, unit="u", n=9, parts=(unit,), undefined=told)
    (value,) = score_unit(observation, [plugin])
    assert (value.reason == told) == plugin.needs_control
    assert (value.value is None) == plugin.needs_control
