"""Weights of the squared error against scipy's Welch t over cells."""

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from leaderboard.cases import build_case
from leaderboard.spec import CONTROL, Board, Case
from leaderboard.tasks._moments import Moments
from tests.tasks._screens import dense_cells, hand_made, min_max, scored_moments

if TYPE_CHECKING:
    from anndata import AnnData

Roles = pd.DataFrame


def perturbed_cells(
    screen: "AnnData", case: Case, roles: Roles, genes: tuple[str, ...]
) -> pd.DataFrame:
    """Return the log-normalised training and test cells of fold 0, keys and kept genes."""
    values = dense_cells(screen, case.inputs.uns["target_sum"])
    table = pd.DataFrame(values, columns=list(screen.var_names))[list(genes)]
    table["perturbation"] = screen.obs["perturbation"].to_numpy()
    table["context"] = screen.obs["cell_type"].to_numpy()
    fold = roles[roles["fold"] == 0].set_index("cell_id")["role"]
    table["role"] = fold.reindex(screen.obs_names).to_numpy()
    return table[table["role"].isin(["train", "validation", "test"])]


def welch_weight(one: pd.DataFrame, other: pd.DataFrame, genes: list[str]) -> np.ndarray:
    found = stats.ttest_ind(one[genes].to_numpy(), other[genes].to_numpy(), equal_var=False)
    return min_max(np.abs(found.statistic)) ** 2


def test_weights_are_the_squared_min_max_of_scipys_welch_t_over_cells(
    screen: "AnnData", screen_case: Case, screen_roles: Roles
) -> None:
    moments = scored_moments(screen_case)
    cells = perturbed_cells(screen, screen_case, screen_roles, moments.genes)
    for row in moments.rows("test"):
        here = cells[cells["context"] == moments.context[row]]
        own = here["perturbation"] == moments.perturbation[row]
        expected = welch_weight(here[own], here[~own], list(moments.genes))
        found = moments.weight[row]
        np.testing.assert_allclose(found, expected, atol=1e-9)
        assert (found.min(), found.max()) == (0.0, 1.0)


@pytest.fixture(scope="module")
def dealt_roles(screen: "AnnData", screen_board: Board) -> Roles:
    """Half of the cells of every perturbation are trained on, the other half is tested."""
    assert screen_board.context == "cell_type"
    place = screen.obs.groupby(["perturbation", "cell_type"], observed=True).cumcount()
    is_control = screen.obs["perturbation"] == CONTROL
    shown = np.where(is_control, "control_input", "train")
    other = np.where(is_control, "control_truth", "test")
    role = np.where(place % 2 == 0, shown, other)
    return pd.DataFrame({"cell_id": screen.obs_names, "fold": 0, "role": role})


def test_training_cells_of_the_same_perturbation_are_not_among_the_others(
    screen: "AnnData", screen_board: Board, dealt_roles: Roles
) -> None:
    """Where cells, not perturbations, are dealt, each is on both sides of the fold."""
    case = build_case(screen, dealt_roles, screen_board, 0, "test")
    moments = scored_moments(case)
    cells = perturbed_cells(screen, case, dealt_roles, moments.genes)
    genes = list(moments.genes)
    for row in moments.rows("test")[::4]:
        here = cells[cells["context"] == moments.context[row]]
        own = here["perturbation"] == moments.perturbation[row]
        tested = here[own & (here["role"] == "test")]
        np.testing.assert_allclose(
            moments.weight[row], welch_weight(tested, here[~own], genes), atol=1e-9
        )
        kept = here[~own | (here["role"] == "train")]
        assert not np.allclose(moments.weight[row], welch_weight(tested, kept, genes), atol=1e-3)


def test_only_test_groups_have_weights(screen_case: Case) -> None:
    moments = scored_moments(screen_case)
    others = np.setdiff1d(np.arange(len(moments.role)), moments.rows("test"))
    assert len(others)
    assert not moments.weight[others].any()


def few_perturbations(**test: list[float]) -> Moments:
    """One perturbation in four donors, three of them in training."""
    rng = np.random.default_rng(0)
    mean: dict[tuple[str, str, str], list[float]] = {}
    for donor in ("d0", "d1", "d2", "d3"):
        control = rng.random(6)
        shift = np.array([2.0, 1.0, 0.5, 0.0, -1.0, 0.2]) + rng.normal(scale=0.3, size=6)
        shift[3] = 0.0  # a gene that never moves has no part in s0
        mean["control_input", CONTROL, donor] = list(control)
        mean["control_truth", CONTROL, donor] = list(control + 0.01)
        mean["test" if donor == "d3" else "train", "IFN", donor] = list(control + shift)
    mean["test", "IFN", "d3"] = test.get("test", mean["test", "IFN", "d3"])
    return hand_made(mean)


def test_with_few_perturbations_weights_come_from_the_moderated_training_shift() -> None:
    moments = few_perturbations()
    trained = moments.rows("train")
    controls = [moments.control("control_input", str(moments.context[r])) for r in trained]
    shifts = moments.mean[trained] - np.array(controls)
    sd = shifts.std(axis=0, ddof=1)
    s0 = np.quantile(sd[sd > 0], 0.9)
    a = np.abs(shifts.mean(axis=0)) / ((sd + s0) / np.sqrt(len(shifts)))
    np.testing.assert_allclose(moments.weight[moments.rows("test")[0]], min_max(a) ** 2)


def test_with_few_perturbations_weights_do_not_look_at_the_truth() -> None:
    one = few_perturbations()
    other = few_perturbations(test=[9.0, -9.0, 9.0, -9.0, 9.0, 1.0])
    row = one.rows("test")[0]
    np.testing.assert_array_equal(one.weight[row], other.weight[row])


@pytest.mark.parametrize(("n", "is_welch"), [(4, False), (5, True)])
def test_welch_starts_at_five_perturbations_in_the_context(n: int, is_welch: bool) -> None:
    def weight(truth: list[float]) -> np.ndarray:
        rng = np.random.default_rng(0)
        mean = {("control_input", CONTROL, "k"): list(rng.random(6))}
        mean |= {("train", f"P{i}", "k"): list(rng.random(6)) for i in range(n - 1)}
        moments = hand_made({**mean, ("test", "P9", "k"): truth})
        row: np.ndarray = moments.weight[moments.rows("test")[0]]
        return row

    one, other = weight([0.1, 0.9, 0.4, 0.2, 0.7, 0.5]), weight([0.9, 0.1, 0.2, 0.4, 0.5, 0.7])
    assert np.array_equal(one, other) != is_welch


def test_where_all_t_are_equal_no_gene_has_weight() -> None:
    same = {("train", f"P{i}", "k"): [1.0, 1.0] for i in range(5)}
    moments = hand_made({**same, ("test", "P9", "k"): [1.0, 1.0]})
    assert moments.weight[moments.rows("test")[0]].tolist() == [0.0, 0.0]
