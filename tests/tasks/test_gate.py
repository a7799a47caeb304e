"""Gate, floors and ceilings of perturbation boards with planted effects and planted nulls."""

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest

from leaderboard.cases import draw
from leaderboard.freeze import check_constants
from leaderboard.metrics import METRICS
from leaderboard.score import metrics_of
from leaderboard.spec import CONTROL, Board, FoldRule
from leaderboard.tasks._statistics import fold_statistics, measure
from tests.tasks._screens import NULL, SINGLES, STRONG, board_of, constants_of, dense_cells

if TYPE_CHECKING:
    from anndata import AnnData

Frozen = dict[str, Any]
RANKED = ("nwmse", "pds", "pearson_delta", "pearson_delta_reference")


@pytest.fixture(scope="module")
def frozen(screen: "AnnData", screen_roles: pd.DataFrame, screen_board: Board) -> Frozen:
    return constants_of(screen, screen_roles, screen_board)


def test_planted_effects_respond_and_planted_nulls_do_not(frozen: Frozen) -> None:
    assert frozen["responders"] == STRONG
    assert set(NULL) <= {*frozen["weak"], *frozen["noise"]}
    assert set(frozen["noise"]) <= set(NULL)
    kinds = [*frozen["responders"], *frozen["weak"], *frozen["noise"]]
    assert sorted(kinds) == SINGLES
    for unit, r in frozen["reliability"].items():
        assert (r >= 0.5) == (unit in STRONG)


def test_reliability_is_the_correlation_of_halves_with_controls_of_their_own(
    screen: "AnnData", frozen: Frozen
) -> None:
    """200 halvings of the cells themselves, against the 20 of blocks."""
    values = dense_cells(screen, frozen["target_sum"])[:, len(SINGLES) :]
    rng = np.random.default_rng(0)
    name = screen.obs["perturbation"].to_numpy()
    for unit in SINGLES[::3]:
        found = []
        for context in ("k1", "k2"):
            here = (screen.obs["cell_type"] == context).to_numpy()
            for _ in range(100):
                own = rng.permutation(np.flatnonzero(here & (name == unit)))
                control = rng.permutation(np.flatnonzero(here & (name == CONTROL)))
                a, b, c, d = (
                    values[cells].mean(axis=0)
                    for cells in (own[::2], own[1::2], control[::2], control[1::2])
                )
                found.append(np.corrcoef(a - c, b - d)[0, 1])
        assert frozen["reliability"][unit] == pytest.approx(np.mean(found), abs=0.08)


def test_every_metric_of_the_task_has_constants_that_are_numbers_and_a_reason_if_untrusted(
    frozen: Frozen,
) -> None:
    assert set(frozen["metrics"]) == {m.name for m in metrics_of("perturbation_prediction")}
    for constants in frozen["metrics"].values():
        edges = [constants[k] for k in ("floor", "ceiling", "ceiling_low", "ceiling_high")]
        assert np.isfinite(edges).all()
        assert constants["ceiling_low"] <= constants["ceiling"] <= constants["ceiling_high"]
        assert constants["trusted"] != bool(constants["reason"])


def test_a_metric_of_the_whole_board_has_its_floor_and_no_ceiling(frozen: Frozen) -> None:
    whole = [m for m in metrics_of("perturbation_prediction") if m.is_whole]
    assert [m.name for m in whole] == ["uncertainty_over_perturbations"]
    for metric in whole:
        found = frozen["metrics"][metric.name]
        assert (found["floor"], found["ceiling_kind"], found["trusted"]) == (0.0, "none", False)
        assert "depends on these errors" in found["reason"]


@pytest.mark.parametrize("name", RANKED)
def test_floors_and_ceilings_of_ranked_metrics_are_on_their_sides(
    frozen: Frozen, name: str
) -> None:
    constants, metric = frozen["metrics"][name], METRICS[name]
    assert constants["floor"] == {"pds": 0.5}.get(name, 0.0)
    assert constants["ceiling_kind"] == "noise"
    assert constants["trusted"] is True, constants["reason"]
    sign = 1 if metric.higher_is_better else -1
    assert sign * constants["ceiling"] > sign * constants["floor"]
    low, high = metric.bounds
    assert low <= constants["ceiling"] <= high


@pytest.mark.parametrize("name", ["wmse", "mse", "mae", "r2_delta_weighted"])
def test_the_floor_of_an_error_is_that_of_the_control_mean(
    screen: "AnnData", screen_roles: pd.DataFrame, screen_board: Board, frozen: Frozen, name: str
) -> None:
    from leaderboard.tasks._perturbation import key_of, unit_parts

    statistics = measure(screen, screen_roles, screen_board)
    by_unit: dict[str, list[float]] = {}
    for number in range(statistics.role.shape[1]):
        moments = fold_statistics(statistics, number).moments
        for unit, rows in moments.units().items():
            controls = {
                key_of(moments, r): moments.control("control_input", str(moments.context[r]))
                for r in rows
            }
            parts = unit_parts(moments, controls, rows)
            values = [float(np.mean([METRICS[name].compute(p) for p in parts]))]
            by_unit.setdefault(unit, []).extend(values)
    expected = np.mean([np.mean(by_unit[unit]) for unit in frozen["responders"]])
    assert frozen["metrics"][name]["floor"] == pytest.approx(expected, rel=1e-8)
    sign = 1 if METRICS[name].higher_is_better else -1
    assert sign * frozen["metrics"][name]["ceiling"] > sign * expected


def test_the_target_sum_is_frozen_and_is_that_of_the_cases(
    screen: "AnnData", screen_roles: pd.DataFrame, frozen: Frozen
) -> None:
    shown = screen_roles.loc[screen_roles["role"] == "control_input", "cell_id"].unique()
    expected = np.median(screen[shown].X.toarray().sum(axis=1))
    assert frozen["target_sum"] == pytest.approx(expected)


def test_novelty_is_the_cosine_distance_to_the_nearest_training_shift(
    screen: "AnnData", screen_roles: pd.DataFrame, screen_board: Board, frozen: Frozen
) -> None:
    from scipy.spatial.distance import cosine

    statistics = measure(screen, screen_roles, screen_board)
    for number in range(statistics.role.shape[1]):
        moments = fold_statistics(statistics, number).moments
        found = frozen["novelty"][str(number)]
        assert set(found) == set(moments.units())
        for unit, rows in moments.units().items():
            distances = []
            for row in rows:
                context = str(moments.context[row])
                control = moments.control("control_truth", context)
                distances.append(
                    min(
                        cosine(moments.mean[row] - control, moments.mean[r] - control)
                        for r in moments.rows("train", context)
                    )
                )
            assert found[unit] == pytest.approx(np.mean(distances), abs=1e-8)


def test_constants_do_not_depend_on_the_order_of_cells(
    screen: "AnnData", screen_roles: pd.DataFrame, screen_board: Board, frozen: Frozen
) -> None:
    order = np.random.default_rng(3).permutation(screen.n_obs)
    found = constants_of(screen[order].copy(), screen_roles, screen_board)
    check_constants(frozen, found, screen_board.id)


def test_a_board_without_effects_trusts_no_metric_however_noisy_its_controls(
    make_screen: Callable[..., "AnnData"], screen_board: Board, rule: FoldRule
) -> None:
    """Few controls and many perturbed cells: two halves that shared controls would agree."""
    adata = make_screen(seed=1, n_controls=100, n_cells=300)
    kept = adata.obs["perturbation"].isin([CONTROL, *NULL]).to_numpy()
    nulls = [f"{p}x{i}" for p in NULL for i in range(4)]
    adata.obs["perturbation"] = adata.obs["perturbation"].astype(object)
    rng = np.random.default_rng(0)
    is_null = kept & (adata.obs["perturbation"] != CONTROL).to_numpy()
    adata.obs.loc[is_null, "perturbation"] = rng.permutation(np.resize(nulls, is_null.sum()))
    adata = adata[kept].copy()
    found = constants_of(adata, draw(adata.obs, screen_board, rule)[0], screen_board)
    assert found["responders"] == []
    assert len(found["weak"]) <= 6
    assert not any(m["trusted"] for m in found["metrics"].values())
    assert all(m["reason"] for m in found["metrics"].values())


@pytest.mark.parametrize(
    "changes",
    [
        {"split": "context"},
        {"split": "combination"},
        {"split": "batch"},
    ],
    ids=lambda c: c["split"],
)
def test_boards_of_other_splits_freeze_too(
    make_screen: Callable[..., "AnnData"], rule: FoldRule, changes: dict[str, str]
) -> None:
    adata, board = make_screen(n_controls=120, n_cells=24), board_of(**changes)
    roles = draw(adata.obs, board, rule)[0]
    found = constants_of(adata, roles, board)
    tested = roles.loc[roles["role"] == "test", "cell_id"]
    units = set(adata.obs.loc[tested, "perturbation"])
    assert {*found["responders"], *found["weak"], *found["noise"]} == units
    assert set(found["novelty"]) == {str(k) for k in roles["fold"].unique()}
    assert not set(found["responders"]) & set(NULL)
    # A double of two strong singles moves as much as either.
    assert set(found["responders"]) >= units & set(STRONG)


def test_a_random_board_leaves_the_gate_to_its_grouped_board_and_has_no_scale(
    screen: "AnnData", rule: FoldRule
) -> None:
    board = board_of(split="random", matches="perturbation")
    found = constants_of(screen, draw(screen.obs, board, rule)[0], board)
    assert not {"responders", "weak", "noise"} & set(found)
    assert all(m["reason"] == "cells, not groups, were held out" for m in found["metrics"].values())
    assert all(m["floor"] == m["ceiling"] and not m["trusted"] for m in found["metrics"].values())


def test_a_context_with_too_few_controls_has_no_part_in_the_gate(
    screen: "AnnData", screen_board: Board, rule: FoldRule
) -> None:
    is_control = (
        (screen.obs["perturbation"] == CONTROL) & (screen.obs["cell_type"] == "k2")
    ).to_numpy()
    adata = screen[~is_control | (np.cumsum(is_control) <= 40)].copy()
    found = constants_of(adata, draw(adata.obs, screen_board, rule)[0], screen_board)
    one = adata[(adata.obs["cell_type"] == "k1").to_numpy()].copy()
    board = replace(screen_board, where={"cell_type": ("k1",)})
    alone = constants_of(one, draw(one.obs, board, rule)[0], board)
    assert found["responders"] == alone["responders"]
    for unit, r in alone["reliability"].items():
        assert found["reliability"][unit] == pytest.approx(r, abs=0.15)
