"""The random twin: the same sizes as the grouped split, and every group on both sides."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from leaderboard.cases import check_roles, draw
from leaderboard.errors import SplitError
from leaderboard.spec import CONTROL, SplitRequest
from leaderboard.splits import SPLITTERS
from tests.splits._obs import (
    CONTROL_ROLES,
    RULE,
    SIDES,
    annotation_board,
    assign,
    make_obs,
    n_groups,
    perturbation_board,
    seeds,
    sizes,
    values_by_role,
)
from tests.splits.test_groups import nested_obs

RANDOM, DONOR = SPLITTERS["random"], SPLITTERS["donor"]
twins = pytest.mark.parametrize("matches", ["perturbation", "context", "donor", "batch"])


@given(groups=n_groups, seed=seeds)
def test_a_random_split_copies_the_fold_sizes_of_its_twin(groups: int, seed: int) -> None:
    obs = make_obs(groups, seed)
    random, twin = assign(RANDOM, obs), assign(DONOR, obs)
    assert random["fold"].nunique() == twin["fold"].nunique()
    for role in ("test", "train"):
        gap = np.subtract(sizes(random, role), sizes(twin, role))
        assert np.abs(gap).max() <= groups
    assert sizes(random, "validation") == sizes(twin, "validation")


@given(groups=n_groups, seed=seeds)
def test_a_random_split_spreads_every_unit_over_the_folds_in_proportion(
    groups: int, seed: int
) -> None:
    obs = make_obs(groups, seed)
    roles = assign(RANDOM, obs)
    test = roles[roles["role"] == "test"]
    assert sorted(test["cell_id"]) == sorted(obs.index)
    twin = assign(DONOR, obs)
    share = twin[twin["role"] == "test"].groupby("fold").size() / len(obs)
    donor = obs.loc[test["cell_id"], "donor_id"].to_numpy()
    table = pd.crosstab(donor, test["fold"].to_numpy())
    expected = np.outer(table.sum(axis=1), share)
    assert np.abs(table.to_numpy() - expected).max() <= 1.0 + 1e-9


def test_a_random_split_trains_on_the_units_that_it_tests() -> None:
    obs = make_obs(6, 0)
    values = values_by_role(assign(RANDOM, obs), obs, "donor_id")
    assert all(values[fold, "test"] <= values[fold, "train"] for fold in range(6))


@pytest.mark.parametrize("n_shared", [0, 1, 4])
def test_a_random_split_leaves_out_as_many_cells_as_a_twin_that_leaves_out_donors(
    n_shared: int,
) -> None:
    obs = nested_obs(n_shared)
    random, _ = draw(obs, annotation_board("random", matches="batch"), RULE)
    twin, _ = draw(obs, annotation_board("batch"), RULE)
    assert len(random) == len(twin)
    for role in SIDES:
        assert np.abs(np.subtract(sizes(random, role), sizes(twin, role))).max() <= 3


@twins
@given(groups=n_groups, seed=seeds, singles=st.integers(4, 40))
def test_the_random_twin_of_a_perturbation_board_deals_every_perturbation_and_context_to_all_folds(
    matches: str, groups: int, seed: int, singles: int
) -> None:
    obs = make_obs(groups, seed, n_singles=singles)
    board = perturbation_board("random", matches=matches)
    random, strata = draw(obs, board, RULE)
    twin, _ = draw(obs, perturbation_board(matches), RULE)
    check_roles(random, obs, board)
    assert strata.empty
    tested, of_twin = (r[r["role"] == "test"] for r in (random, twin))
    assert sorted(tested["cell_id"]) == sorted(of_twin["cell_id"])
    pair = obs["perturbation"] + "/" + obs["cell_type"]
    table = pd.crosstab(pair[tested["cell_id"]].to_numpy(), tested["fold"].to_numpy())
    share = of_twin.groupby("fold").size() / len(of_twin)
    expected = np.outer(table.sum(axis=1), share)
    assert np.abs(table.to_numpy() - expected).max() <= 1.0 + 1e-9


@twins
def test_the_random_twin_of_a_perturbation_board_is_as_large_and_has_the_same_controls(
    matches: str,
) -> None:
    obs = make_obs(3, 0)
    big = pd.concat([obs.set_axis([f"{c}-{k}" for c in obs.index]) for k in range(8)])
    random, twin = (
        draw(big, perturbation_board(split, **more), RULE)[0]
        for split, more in (("random", {"matches": matches}), (matches, {}))
    )
    for role in SIDES:
        one, other = np.array(sizes(random, role)), np.array(sizes(twin, role))
        assert np.abs(one / other - 1).max() < 0.05, role
    assert sizes(random, "validation") == sizes(twin, "validation")
    half, of_twin = (
        t[t["role"].isin(CONTROL_ROLES)].reset_index(drop=True) for t in (random, twin)
    )
    pd.testing.assert_frame_equal(half, of_twin)
    assert (big.loc[half["cell_id"], "perturbation"] == CONTROL).all()


def test_the_random_twin_of_the_perturbation_split_uses_no_combination() -> None:
    obs = make_obs(4, 0)
    roles, _ = draw(obs, perturbation_board("random", matches="perturbation"), RULE)
    assert not obs.loc[roles["cell_id"], "perturbation"].str.contains("+", regex=False).any()


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({}, "`matches` must name the grouped split"),
        ({"matches": "combination", "context": "cell_type"}, "'combination' has no random twin"),
        ({"matches": "random"}, "'random' has no random twin"),
    ],
)
def test_a_random_split_must_name_a_twin_that_tests_every_cell_once(
    given: dict[str, Any], told: str
) -> None:
    with pytest.raises(SplitError, match=told):
        RANDOM.assign(make_obs(4, 0), SplitRequest(rule=RULE, task="t", **given))
