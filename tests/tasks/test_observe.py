"""What scoring sees of a perturbation board."""

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pytest

from leaderboard.cases import build_case, draw
from leaderboard.metrics import METRICS
from leaderboard.score import score_unit
from leaderboard.spec import CONTROL, Board, Case, FoldRule
from leaderboard.tasks import TASKS
from tests.tasks._screens import SINGLES, evidence_of, truth_as_prediction

PERTURBATION = TASKS["perturbation_prediction"]

if TYPE_CHECKING:
    from anndata import AnnData


def test_a_unit_is_observed_once_with_a_part_a_context(
    screen_case: Case, screen_board: Board
) -> None:
    evidence = evidence_of(screen_case, truth_as_prediction(screen_case))
    *observations, whole = PERTURBATION.observe([evidence], screen_board, {})
    tested = screen_case.truth[screen_case.truth["role"] == "test"]
    assert [o.unit for o in observations] == sorted(tested["unit"].unique())
    for observation in observations:
        assert len(observation.parts) == 2
        assert observation.n == (tested["unit"] == observation.unit).sum() == 24
        assert observation.undefined == ""
    assert (whole.unit, whole.is_whole, whole.undefined) == ("all", True, "")
    assert whole.n == len(tested)
    (board,) = whole.parts
    assert board.units == tuple(part for o in observations for part in o.parts)
    assert board.block.tolist() == [0, 1] * len(observations), "perturbations of one context meet"


def test_folds_and_contexts_are_blocks_of_the_whole_board(
    screen_case: Case, screen_board: Board
) -> None:
    evidence = evidence_of(screen_case, truth_as_prediction(screen_case))
    folds = [replace(evidence, fold=fold) for fold in (0, 1)]
    *observations, whole = PERTURBATION.observe(folds, screen_board, {})
    assert whole.fold == -1
    (board,) = whole.parts
    half = len(observations) // 2
    assert board.block.tolist() == [0, 1] * half + [2, 3] * half
    assert PERTURBATION.observe(folds[1:], screen_board, {})[-1].fold == 1


def test_the_true_shift_scores_perfectly_on_every_unit(
    screen_case: Case, screen_board: Board
) -> None:
    evidence = evidence_of(screen_case, truth_as_prediction(screen_case))
    for observation in PERTURBATION.observe([evidence], screen_board, {})[:-1]:
        values = {
            v.metric: v.value
            for v in score_unit(observation, [METRICS["pds"], METRICS["pearson_delta"]])
        }
        assert values == {"pds": 1.0, "pearson_delta": pytest.approx(1.0)}


@pytest.mark.parametrize(("n_controls", "is_defined"), [(98, False), (99, False), (100, True)])
def test_below_a_hundred_control_cells_control_based_metrics_are_undefined(
    make_screen: Callable[..., "AnnData"],
    screen_board: Board,
    rule: FoldRule,
    n_controls: int,
    is_defined: bool,
) -> None:
    adata = make_screen(n_controls=n_controls)
    case = build_case(adata, draw(adata.obs, screen_board, rule)[0], screen_board, 0, "test")
    evidence = evidence_of(case, truth_as_prediction(case))
    metrics = [m for m in METRICS.values() if screen_board.task in m.tasks and m.needs_control]
    assert {m.name for m in metrics} >= {"nwmse", "pds", "pearson_delta"}
    *observations, whole = PERTURBATION.observe([evidence], screen_board, {})
    assert len(whole.parts[0].units) == (2 * len(observations) if is_defined else 0)
    for observation in (*observations, whole):
        asked = [m for m in metrics if m.is_whole == observation.is_whole]
        values = {v.metric: v for v in score_unit(observation, asked)}
        assert len(values) > 0
        if "nwmse" in values:
            assert (values["nwmse"].status == "ok") == is_defined
        for value in values.values():
            lacks = f"{n_controls} control cells in k1, 100 needed" in value.reason
            assert lacks != is_defined
            assert ("k2" in value.reason) != is_defined
            assert is_defined or value.value is None


def test_a_context_with_few_controls_is_left_out_of_its_units(
    screen: "AnnData", screen_board: Board, rule: FoldRule
) -> None:
    is_control = (
        (screen.obs["perturbation"] == CONTROL) & (screen.obs["cell_type"] == "k2")
    ).to_numpy()
    adata = screen[~is_control | (np.cumsum(is_control) <= 40)].copy()
    case = build_case(adata, draw(adata.obs, screen_board, rule)[0], screen_board, 0, "test")
    evidence = evidence_of(case, truth_as_prediction(case))
    *observations, whole = PERTURBATION.observe([evidence], screen_board, {})
    for observation in observations:
        assert len(observation.parts) == 1
        assert observation.undefined == ""
    assert whole.parts[0].block.tolist() == [0] * len(observations)


def test_the_top_genes_of_the_failure_table_are_those_that_move_most(
    screen_case: Case, screen_board: Board
) -> None:
    evidence = evidence_of(screen_case, truth_as_prediction(screen_case))
    units = sorted(screen_case.truth.loc[screen_case.truth["role"] == "test", "unit"].unique())
    assert PERTURBATION.failures([evidence], screen_board, {}).empty
    found = PERTURBATION.failures([evidence], screen_board, {"responders": units[1:]})
    assert set(found["kind"]) == {"top_gene", "direction"}
    table = found[found["kind"] == "top_gene"]
    assert set(table["unit"]) == set(units[1:])
    (tested,) = found.loc[found["kind"] == "direction", ["key", "n"]].to_numpy().tolist()
    assert tested == ["genes tested", len(units[1:])], "the truth sends no gene the wrong way"
    assert not set(table["subject"]) & set(SINGLES)
    for _, rows in table.groupby("unit"):
        true = rows[rows["key"] == "true"].sort_values("position")
        assert len(true) == 20
        assert true["value"].abs().is_monotonic_decreasing
        said = rows[rows["key"] == "predicted"].sort_values("position")
        np.testing.assert_allclose(said["value"], true["value"], atol=1e-9)


def test_what_an_entry_gives_beyond_the_mean_reaches_the_unit_it_is_about(
    screen_case: Case, screen_board: Board
) -> None:
    """Cells and variances of one query; the other parts of its unit and others have none."""
    table = truth_as_prediction(screen_case)
    key = ("G002", "k1") if "G002" in set(table["perturbation"]) else tuple(table.iloc[0, :2])
    is_asked = (table["perturbation"] == key[0]) & (table["context"] == key[1])
    genes = list(screen_case.inputs.var_names)
    variance = table[is_asked].assign(statistic="variance", **dict.fromkeys(genes, 0.25))
    error = table[is_asked].assign(statistic="mean_variance", **dict.fromkeys(genes, 0.125))
    both = pd.concat([table, variance, error], ignore_index=True)
    marker = object()
    evidence = replace(evidence_of(screen_case, both), samples={key: marker})
    found = {}
    for observation in PERTURBATION.observe([evidence], screen_board, {})[:-1]:
        contexts = ("k1", "k2")
        for context, part in zip(contexts, observation.parts, strict=True):
            found[observation.unit, context] = part
    assert found[key].cells is marker
    assert found[key].predicted_variance.tolist() == [0.25] * (len(genes) - len(SINGLES))
    assert found[key].predicted_error.tolist() == [0.125] * (len(genes) - len(SINGLES))
    others = [part for place, part in found.items() if place != key]
    assert len(others) == len(table) - 1
    assert all(part.cells is None and part.predicted_variance is None for part in others)
    assert all(part.predicted_error is None for part in others)
