"""What is scored and what is frozen on a modality board."""

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest

from leaderboard.cases import build_case, draw
from leaderboard.metrics import METRICS, _correlations
from leaderboard.score import failed_board, metrics_of, score_board
from leaderboard.spec import Board, Case, FoldRule
from leaderboard.tasks import TASKS, modality_prediction
from tests.conftest import PROTEINS
from tests.tasks._proteins import counted, evidence, perfect

if TYPE_CHECKING:
    from anndata import AnnData

TASK = TASKS["modality_prediction"]
CONSTANTS = {"proteins": list(PROTEINS)}
ALL = metrics_of(TASK.name)


# What is scored


def test_the_order_of_rows_and_columns_of_a_prediction_moves_no_score(
    proteins_case: Case, proteins_board: Board
) -> None:
    rng = np.random.default_rng(0)
    table = perfect(proteins_case)
    table[list(PROTEINS)] += rng.normal(size=(len(table), len(PROTEINS)))
    mixed = table.sample(frac=1, random_state=0).sample(frac=1, axis=1, random_state=1)
    one, two = (
        score_board("me", proteins_board, [evidence(proteins_case, t)], CONSTANTS, ALL)
        for t in (table, mixed)
    )
    pd.testing.assert_frame_equal(one, two)
    assert (one["status"] == "ok").all()
    assert 0 < one.set_index("metric")["value"]["pearson_per_protein"] < 1


def test_every_donor_is_a_unit_with_its_own_cells(
    proteins: "AnnData", proteins_case: Case, proteins_board: Board
) -> None:
    found = TASK.observe([evidence(proteins_case)], proteins_board, CONSTANTS)
    assert [o.unit for o in found] == sorted(set(proteins_case.truth["unit"]))
    for observation in found:
        (part,) = observation.parts
        real = proteins_case.truth["real_cell_id"][proteins_case.truth["unit"] == observation.unit]
        expected = proteins[real].obsm["protein"].astype(np.float64)
        np.testing.assert_array_equal(part.truth, expected)
        np.testing.assert_array_equal(part.predicted, expected)
        assert list(part.label) == list(proteins[real].obs["cell_type"])
        assert (observation.n, observation.fold) == (len(real), 0)


def test_folds_of_a_unit_stay_apart_so_that_their_means_know_no_cell(
    proteins: "AnnData", rule: FoldRule, proteins_board: Board
) -> None:
    board = replace(proteins_board, split="random", matches="donor")
    roles = draw(proteins.obs, board, rule)[0]
    items = []
    for fold in range(roles["fold"].nunique()):
        case = build_case(proteins, roles, board, fold, "test")
        fitted = (case.inputs.obs["role"] != "test").to_numpy()
        mean = case.inputs.obsm["protein"][fitted].mean(axis=0, dtype=np.float64)
        said = perfect(case)
        said[list(PROTEINS)] = mean.astype(np.float32)
        items.append(evidence(case, said, fold))
    rows = score_board("mean", board, items, CONSTANTS, [METRICS["pearson_per_protein"]])
    assert set(rows["fold"]) == {-1}
    assert set(rows["unit"]) == set(proteins.obs["donor_id"])
    assert set(rows["value"]) == {0.0}
    assert rows["n"].sum() == proteins.n_obs


def test_a_failed_run_is_failed_in_every_unit(proteins_case: Case, proteins_board: Board) -> None:
    item = evidence(proteins_case, pd.DataFrame())
    rows = failed_board("me", proteins_board, [item], "PredictionError: no", ALL)
    assert set(rows["status"]) == {"failed"}
    assert len(rows) == len(ALL) * proteins_case.truth["unit"].nunique()


def test_failures_and_metrics_ask_for_as_many_cells() -> None:
    assert modality_prediction.MIN_POINTS == _correlations.MIN_POINTS


def test_failures_are_the_correlation_of_every_protein_and_the_error_of_every_type(
    proteins_case: Case, proteins_board: Board
) -> None:
    table = perfect(proteins_case)
    table["P1"] = table["P1"].mean()
    table["P2"] = -table["P2"]
    item = evidence(proteins_case, table)
    found = TASK.failures([item], proteins_board, CONSTANTS)
    of_proteins = found[found["kind"] == "protein"]
    scores = score_board("me", proteins_board, [item], CONSTANTS, ALL)
    metric = scores[scores["metric"] == "pearson_per_protein"].set_index("unit")["value"]
    for unit, rows in of_proteins.sort_values("position").groupby("unit"):
        assert list(rows["subject"][:2]) == ["P2", "P1"]
        assert rows["value"].to_numpy() == pytest.approx([-1, 0, 1, 1, 1])
        assert rows["value"].mean() == pytest.approx(metric[unit], abs=1e-12)
        assert set(rows["n"]) == {int((proteins_case.truth["unit"] == unit).sum())}
    of_types = found[found["kind"] == "type_error"].sort_values(["unit", "position"])
    (part,) = TASK.observe([item], proteins_board, CONSTANTS)[0].parts
    first = of_types[of_types["unit"] == of_types["unit"].iloc[0]]
    assert set(first["subject"]) == set(part.label)
    assert first["value"].is_monotonic_decreasing
    for row in first.itertuples():
        cells = part.label == row.subject
        expected = np.sqrt(np.mean((part.predicted[cells] - part.truth[cells]) ** 2))
        assert row.value == pytest.approx(expected)
        assert row.n == cells.sum()


# What is frozen


def frozen(adata: "AnnData", roles: pd.DataFrame, board: Board) -> dict[str, Any]:
    return TASK.freeze(adata, roles, board, ALL)


@pytest.fixture(scope="module")
def constants(
    proteins: "AnnData", proteins_roles: pd.DataFrame, proteins_board: Board
) -> dict[str, Any]:
    return frozen(proteins, proteins_roles, proteins_board)


def mean_score(
    adata: "AnnData", roles: pd.DataFrame, board: Board, metric: str, answer: str
) -> float:
    """Score the training mean or the noise-free proteins through the whole path of scoring."""
    items = []
    for fold in range(roles["fold"].nunique()):
        case = build_case(adata, roles, board, fold, "test")
        assert case.groups is not None
        said = perfect(case)
        if answer == "oracle":
            said[list(PROTEINS)] = case.groups[[f"mean:{name}" for name in PROTEINS]].to_numpy()
        else:
            fitted = (case.inputs.obs["role"] != "test").to_numpy()
            said[list(PROTEINS)] = case.inputs.obsm["protein"][fitted].mean(axis=0)
        items.append(evidence(case, said, fold))
    rows = score_board("x", board, items, CONSTANTS, [METRICS[metric]])
    return float(rows["value"].mean())


@pytest.mark.parametrize("metric", [m.name for m in ALL])
def test_the_ceiling_is_what_the_noise_free_proteins_score_and_floors_know_no_cell(
    proteins: "AnnData", proteins_roles: pd.DataFrame, proteins_board: Board,
    constants: dict[str, Any], metric: str,
) -> None:  # fmt: skip
    board = (proteins, proteins_roles, proteins_board)
    found = constants["metrics"][metric]
    assert found["ceiling"] == pytest.approx(mean_score(*board, metric, "oracle"), rel=1e-5)
    assert found["ceiling_low"] < found["ceiling"] < found["ceiling_high"]
    assert found["ceiling_kind"] == "noise-free truth"
    floor = mean_score(*board, metric, "mean") if metric == "rmse" else 0.0
    assert found["floor"] == pytest.approx(floor, rel=1e-5)


def test_the_ceiling_of_real_proteins_is_the_truth_itself(
    proteins: "AnnData", proteins_roles: pd.DataFrame, proteins_board: Board
) -> None:
    adata = counted(proteins)
    del adata.obsm["protein_mean"]
    found = frozen(adata, proteins_roles, replace(proteins_board, protein_unit="clr"))
    for metric in ALL:
        constants = found["metrics"][metric.name]
        best = 1.0 if metric.higher_is_better else 0.0
        ends = [constants[k] for k in ("ceiling", "ceiling_low", "ceiling_high")]
        assert ends == pytest.approx([best] * 3)
        assert constants["ceiling_kind"] == "truth"
    assert found["protein_unit"] == "clr"
    assert found["proteins"] == list(PROTEINS)


def test_a_metric_that_the_training_mean_does_well_on_is_not_trusted(
    proteins: "AnnData", proteins_roles: pd.DataFrame, proteins_board: Board,
    constants: dict[str, Any],
) -> None:  # fmt: skip
    adata = proteins.copy()
    level = np.arange(len(PROTEINS), dtype=np.float32) * 5
    for key in ("protein", "protein_mean"):
        adata.obsm[key] = adata.obsm[key] + level
    told = frozen(adata, proteins_roles, proteins_board)["metrics"]
    assert not told["pearson_per_cell"]["trusted"]
    assert "without a look at a cell, comes 100% of the way" in told["pearson_per_cell"]["reason"]
    assert told["pearson_per_protein"]["trusted"]
    assert told["pearson_per_protein"]["reason"] == ""
    assert told["pearson_per_protein"]["ceiling"] == pytest.approx(
        constants["metrics"]["pearson_per_protein"]["ceiling"], rel=1e-5
    )


def test_a_metric_without_a_value_in_any_unit_is_not_trusted(
    proteins: "AnnData", proteins_roles: pd.DataFrame, proteins_board: Board
) -> None:
    adata = proteins.copy()
    del adata.obs["cell_type"]
    told = frozen(adata, proteins_roles, proteins_board)["metrics"]["pearson_within_type"]
    assert (told["trusted"], told["ceiling_kind"]) == (False, "none")
    assert told["reason"].startswith("undefined in every unit of this board: no cell type")


def test_a_metric_on_which_the_ceiling_is_the_floor_is_not_trusted(
    proteins: "AnnData", proteins_roles: pd.DataFrame, proteins_board: Board
) -> None:
    adata = proteins.copy()
    adata.obsm["protein_mean"] = np.zeros_like(adata.obsm["protein_mean"])
    told = frozen(adata, proteins_roles, proteins_board)["metrics"]["pearson_per_protein"]
    assert (told["trusted"], told["reason"]) == (False, "the ceiling is not above the floor")


def test_constants_do_not_depend_on_the_order_of_cells(
    proteins: "AnnData", proteins_roles: pd.DataFrame, proteins_board: Board,
    constants: dict[str, Any],
) -> None:  # fmt: skip
    order = np.random.default_rng(5).permutation(proteins.n_obs)
    other = frozen(proteins[order].copy(), proteins_roles, proteins_board)
    for name, values in constants["metrics"].items():
        for key, value in values.items():
            known = value if isinstance(value, str) else pytest.approx(value, rel=1e-6)
            assert other["metrics"][name][key] == known
