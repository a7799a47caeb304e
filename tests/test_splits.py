"""Splits never show a held-out value, look at sorted ids only, and stay what they are."""

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from leaderboard.cases import (
    case_key,
    check_frozen,
    check_roles,
    digest,
    draw,
    split_name,
)
from leaderboard.errors import LeakageError, SplitError
from leaderboard.spec import CONTROL, Board, FoldRule, SplitRequest, Splitter
from leaderboard.splits import SPLITTERS
from leaderboard.splits._rules import LEAVE_ONE_OUT_LIMIT, validation_groups

if TYPE_CHECKING:
    from anndata import AnnData

RULE = FoldRule(seed=7, k=5, validation_fraction=0.15)
COLUMN = [s for s in SPLITTERS.values() if s.column is not None]
BY_GROUP = [s for s in COLUMN if s.column != "perturbation"]
CONTROL_ROLES = ["control_input", "control_truth"]
GROUP_COLUMNS = (
    *("donor_id", "batch", "tissue", "time", "condition", "disease", "cell_line", "library"),
)
"""Every column that a splitter may cut."""

seeds = st.integers(0, 2**31)
n_groups = st.integers(3, 14)
contexts = st.sampled_from([None, "cell_type"])
column_splitter = pytest.mark.parametrize("splitter", COLUMN, ids=lambda s: str(s.name))
group_splitter = pytest.mark.parametrize("splitter", BY_GROUP, ids=lambda s: str(s.name))
any_splitter = pytest.mark.parametrize("splitter", SPLITTERS.values(), ids=lambda s: str(s.name))


def make_obs(groups: int, seed: int, n_singles: int = 30) -> pd.DataFrame:
    """400 cells; every group column has ``groups`` values, dealt apart from one another."""
    rng = np.random.default_rng(seed)
    n = 400
    deal = {
        column: rng.permutation(np.resize([f"{column}{i}" for i in range(groups)], n))
        for column in GROUP_COLUMNS
    }
    singles = [f"P{i:02d}" for i in range(n_singles)]
    names = [*singles, "P00+P01", "P02+P03", *([CONTROL] * (n_singles // 2))]
    deal["perturbation"] = rng.permutation(np.resize(names, n))
    deal["cell_type"] = rng.permutation(np.resize(["k1", "k2"], n))
    return pd.DataFrame(deal, index=pd.Index([f"cell{i:03d}" for i in rng.permutation(n)]))


def request_for(splitter: Splitter, context: str | None = None, seed: int = 7) -> SplitRequest:
    if splitter.column == "perturbation":
        context = "cell_type"
    return SplitRequest(
        rule=replace(RULE, seed=seed),
        task="t",
        matches="donor" if splitter.name == "random" else None,
        context=context,
    )


def assign(
    splitter: Splitter, obs: pd.DataFrame, context: str | None = None, seed: int = 7
) -> pd.DataFrame:
    return splitter.assign(obs, request_for(splitter, context, seed))


def values_by_role(roles: pd.DataFrame, obs: pd.DataFrame, column: str) -> dict[Any, set[str]]:
    """Return the values of a column by (fold, role)."""
    value = obs.loc[roles["cell_id"], column].astype(str).to_numpy()
    table = roles.assign(value=value).groupby(["fold", "role"])["value"]
    return {key: set(members) for key, members in table}


@column_splitter
@given(groups=n_groups, seed=seeds, context=contexts)
def test_no_value_of_the_held_out_column_is_on_two_sides(
    splitter: Splitter, groups: int, seed: int, context: str | None
) -> None:
    obs = make_obs(groups, seed)
    roles = assign(splitter, obs, context)
    values = values_by_role(roles, obs, str(splitter.column))
    for fold in roles["fold"].unique():
        train, validation, test = (values[fold, r] for r in ("train", "validation", "test"))
        assert not train & test
        assert not validation & test
        assert not train & validation


@column_splitter
@given(groups=n_groups, seed=seeds, context=contexts)
def test_every_value_is_tested_exactly_once(
    splitter: Splitter, groups: int, seed: int, context: str | None
) -> None:
    obs = make_obs(groups, seed)
    roles = assign(splitter, obs, context)
    column = str(splitter.column)
    values = values_by_role(roles, obs, column)
    tested = [value for (_, role), found in values.items() if role == "test" for value in found]
    wanted = set(obs[column])
    if column == "perturbation":
        wanted = {v for v in wanted if v != CONTROL and "+" not in v}
    assert sorted(tested) == sorted(wanted)


@any_splitter
@given(groups=n_groups, seed=seeds)
def test_every_cell_is_tested_at_most_once_and_has_one_role_a_fold(
    splitter: Splitter, groups: int, seed: int
) -> None:
    roles = assign(splitter, make_obs(groups, seed))
    assert not roles.duplicated(["cell_id", "fold"]).any()
    assert not roles[roles["role"] == "test"].duplicated("cell_id").any()
    assert sorted(roles["fold"].unique()) == list(range(roles["fold"].max() + 1))


@any_splitter
@given(groups=n_groups, seed=seeds)
def test_every_fold_has_training_validation_and_test_cells(
    splitter: Splitter, groups: int, seed: int
) -> None:
    roles = assign(splitter, make_obs(groups, seed))
    for _, rows in roles.groupby("fold"):
        assert {"train", "validation", "test"} <= set(rows["role"])


@any_splitter
@given(groups=n_groups, seed=seeds)
def test_the_order_of_cells_does_not_move_a_split(
    splitter: Splitter, groups: int, seed: int
) -> None:
    obs = make_obs(groups, seed)
    shuffled = obs.sample(frac=1, random_state=seed % 2**31)
    pd.testing.assert_frame_equal(assign(splitter, shuffled), assign(splitter, obs))


@any_splitter
def test_categories_and_text_give_the_same_split(splitter: Splitter) -> None:
    obs = make_obs(6, 0)
    pd.testing.assert_frame_equal(assign(splitter, obs.astype("category")), assign(splitter, obs))


@any_splitter
def test_columns_that_a_split_does_not_name_do_not_move_it(splitter: Splitter) -> None:
    obs = make_obs(6, 0)
    used = {str(splitter.column), "donor_id", "perturbation", "cell_type"}
    other = obs.assign(**{c: "x" for c in obs.columns if c not in used})
    pd.testing.assert_frame_equal(assign(splitter, other), assign(splitter, obs))


@any_splitter
@given(groups=n_groups, seed=seeds)
def test_a_seed_gives_the_same_split_again(splitter: Splitter, groups: int, seed: int) -> None:
    obs = make_obs(groups, seed)
    first = assign(splitter, obs, seed=seed)
    pd.testing.assert_frame_equal(assign(splitter, obs.copy(), seed=seed), first)


@any_splitter
def test_seeds_give_different_splits(splitter: Splitter) -> None:
    obs = make_obs(12, 0)
    drawn = {digest(assign(splitter, obs, seed=s), no_strata()) for s in range(5)}
    assert len(drawn) == 5


@any_splitter
def test_a_split_does_not_change_its_input(splitter: Splitter) -> None:
    obs = make_obs(6, 0)
    before = obs.copy()
    assign(splitter, obs)
    pd.testing.assert_frame_equal(obs, before)


@any_splitter
def test_rows_are_sorted_by_fold_and_cell(splitter: Splitter) -> None:
    roles = assign(splitter, make_obs(6, 0))
    assert list(roles) == ["cell_id", "fold", "role"]
    assert roles["fold"].dtype == np.int16
    pd.testing.assert_frame_equal(
        roles, roles.sort_values(["fold", "cell_id"]).reset_index(drop=True)
    )


@group_splitter
@pytest.mark.parametrize("groups", [3, 7, 8, 9, 23])
def test_few_groups_are_left_out_one_by_one_and_many_in_k_folds(
    splitter: Splitter, groups: int
) -> None:
    obs = make_obs(groups, 0)
    roles = assign(splitter, obs)
    assert LEAVE_ONE_OUT_LIMIT == 8
    n_folds = groups if groups <= 8 else 5
    assert roles["fold"].nunique() == n_folds
    values = values_by_role(roles, obs, str(splitter.column))
    sizes = [len(values[fold, "test"]) for fold in range(n_folds)]
    assert max(sizes) - min(sizes) <= 1


@pytest.mark.parametrize(("groups", "n"), [(2, 1), (3, 1), (10, 2), (20, 3), (40, 6)])
def test_fifteen_percent_of_training_groups_and_at_least_one_are_for_validation(
    groups: int, n: int
) -> None:
    names = [f"d{i}" for i in range(groups)]
    chosen = validation_groups(names, RULE, "donor_id", 0)
    assert len(chosen) == n
    assert chosen < set(names)
    assert chosen == validation_groups(names[::-1], RULE, "donor_id", 0)


@group_splitter
@pytest.mark.parametrize("groups", [1, 2])
def test_too_few_groups_are_a_split_error_that_counts_them(splitter: Splitter, groups: int) -> None:
    """With two groups the one that is left to train on leaves none for validation."""
    with pytest.raises(SplitError, match=rf"{splitter.column}.*{groups} group"):
        assign(splitter, make_obs(groups, 0))


@pytest.mark.parametrize("singles", [3, 15])
def test_too_few_single_perturbations_are_a_split_error(singles: int) -> None:
    with pytest.raises(SplitError, match=rf"perturbation: .* over {singles} group"):
        assign(SPLITTERS["perturbation"], make_obs(4, 0, n_singles=singles))


@pytest.mark.parametrize(("singles", "n_folds"), [(16, 2), (18, 2), (24, 3), (40, 5), (60, 5)])
def test_single_perturbations_are_cut_in_eights_up_to_k(singles: int, n_folds: int) -> None:
    roles = assign(SPLITTERS["perturbation"], make_obs(4, 0, n_singles=singles))
    assert roles["fold"].nunique() == n_folds


@given(seed=seeds)
def test_the_perturbation_split_uses_no_combination(seed: int) -> None:
    obs = make_obs(4, seed)
    roles = assign(SPLITTERS["perturbation"], obs)
    used = obs.loc[roles["cell_id"].unique(), "perturbation"]
    assert not used.str.contains("+", regex=False).any()
    singles = obs.index[~obs["perturbation"].str.contains("+", regex=False)]
    assert set(roles["cell_id"]) == set(singles)


def test_the_strata_of_the_perturbation_split_name_each_test_unit_once_as_unseen() -> None:
    obs = make_obs(4, 0)
    board = Board(
        dataset="d", task="t", split="perturbation", unit="perturbation", context="cell_type"
    )
    roles, strata = draw(obs, board, RULE)
    tested = values_by_role(roles, obs, "perturbation")
    found = {fold: set(rows["unit"]) for fold, rows in strata.groupby("fold")}
    assert found == {f: tested[f, "test"] for f in found}
    assert set(strata["stratum"]) == {"unseen_single"}
    assert not strata.duplicated().any()


@column_splitter
@given(groups=n_groups, seed=seeds)
def test_controls_are_halved_by_context_alike_in_every_fold_and_never_tested(
    splitter: Splitter, groups: int, seed: int
) -> None:
    obs = make_obs(groups, seed)
    roles = assign(splitter, obs, "cell_type")
    is_control = obs.loc[roles["cell_id"], "perturbation"].eq(CONTROL).to_numpy()
    assert set(roles.loc[is_control, "role"]) == set(CONTROL_ROLES)
    assert not roles.loc[~is_control, "role"].isin(CONTROL_ROLES).any()
    controls = roles[is_control]
    assert controls.groupby("cell_id")["role"].nunique().max() == 1
    assert (controls.groupby("cell_id")["fold"].nunique() == roles["fold"].nunique()).all()
    assert set(controls["cell_id"]) == set(obs.index[obs["perturbation"] == CONTROL])
    halves = controls[controls["fold"] == 0]
    sizes = halves.groupby([obs.loc[halves["cell_id"], "cell_type"].to_numpy(), "role"]).size()
    for context in ("k1", "k2"):
        n_input, n_truth = (sizes[context, role] for role in CONTROL_ROLES)
        assert n_input - n_truth in {0, 1}


def test_the_halves_of_controls_do_not_depend_on_the_other_cells() -> None:
    obs = make_obs(6, 0)
    splitter = SPLITTERS["donor"]
    one = assign(splitter, obs, "cell_type")
    fewer = obs[(obs["perturbation"] == CONTROL) | (obs["donor_id"] != "donor_id0")]
    other = assign(splitter, fewer, "cell_type")

    def halves(roles: pd.DataFrame) -> pd.Series:
        return roles[roles["role"].isin(CONTROL_ROLES)].groupby("cell_id")["role"].first()

    pd.testing.assert_series_equal(halves(one), halves(other))


@given(groups=n_groups, seed=seeds)
def test_a_random_split_copies_the_fold_sizes_of_its_twin(groups: int, seed: int) -> None:
    obs = make_obs(groups, seed)
    random, twin = assign(SPLITTERS["random"], obs), assign(SPLITTERS["donor"], obs)
    sizes = [t[t["role"] == "test"].groupby("fold").size() for t in (random, twin)]
    assert list(sizes[0].index) == list(sizes[1].index)
    assert (sizes[0] - sizes[1]).abs().max() <= groups


@pytest.mark.parametrize("groups", [3, 8, 12, 20])
def test_a_random_split_trains_on_as_many_cells_as_its_twin(groups: int) -> None:
    """Else inflation mixes the leak with the size of the training set."""
    obs = make_obs(groups, 0)
    random, twin = assign(SPLITTERS["random"], obs), assign(SPLITTERS["donor"], obs)
    train = [t[t["role"] == "train"].groupby("fold").size() for t in (random, twin)]
    assert (train[0] - train[1]).abs().max() <= groups


def test_a_random_split_that_deals_out_control_cells_is_stopped() -> None:
    obs = make_obs(6, 0)
    board = Board(
        dataset="d", task="t", split="random", unit="donor_id", matches="donor", context="cell_type"
    )
    with pytest.raises((LeakageError, SplitError), match="control"):
        check_roles(draw(obs, board, RULE)[0], obs, board)


@given(groups=n_groups, seed=seeds)
def test_a_random_split_spreads_every_unit_over_the_folds_in_proportion(
    groups: int, seed: int
) -> None:
    obs = make_obs(groups, seed)
    roles = assign(SPLITTERS["random"], obs)
    test = roles[roles["role"] == "test"]
    assert sorted(test["cell_id"]) == sorted(obs.index)
    twin = assign(SPLITTERS["donor"], obs)
    share = twin[twin["role"] == "test"].groupby("fold").size() / len(obs)
    donor = obs.loc[test["cell_id"], "donor_id"].to_numpy()
    table = pd.crosstab(donor, test["fold"].to_numpy())
    expected = np.outer(table.sum(axis=1), share)
    assert np.abs(table.to_numpy() - expected).max() <= 1.0 + 1e-9


def test_a_random_split_trains_on_the_units_that_it_tests() -> None:
    obs = make_obs(6, 0)
    values = values_by_role(assign(SPLITTERS["random"], obs), obs, "donor_id")
    assert all(values[fold, "test"] <= values[fold, "train"] for fold in range(6))


def test_a_random_split_must_name_its_twin() -> None:
    with pytest.raises(SplitError, match="`matches` must name the grouped split"):
        SPLITTERS["random"].assign(
            make_obs(4, 0), SplitRequest(rule=RULE, task="t", matches=None, context=None)
        )


def no_strata() -> pd.DataFrame:
    return pd.DataFrame(columns=["fold", "unit", "stratum"])


def test_a_missing_column_is_a_split_error_that_names_it(atlas: "AnnData") -> None:
    board = Board(dataset="d", task="t", split="donor", unit="patient")
    with pytest.raises(SplitError, match="d-t-donor: obs has no column 'patient'"):
        draw(atlas.obs, board, RULE)


def test_a_digest_is_of_the_content_and_not_of_the_order_or_types() -> None:
    roles = assign(SPLITTERS["donor"], make_obs(6, 0))
    other = roles.sample(frac=1, random_state=0).astype({"fold": "int64", "role": "category"})
    assert digest(other, no_strata()) == digest(roles, no_strata())
    moved = roles.copy()
    moved.loc[0, "role"] = "test" if moved.loc[0, "role"] != "test" else "train"
    assert digest(moved, no_strata()) != digest(roles, no_strata())
    strata = pd.DataFrame({"fold": [0], "unit": ["u"], "stratum": ["s"]})
    assert digest(roles, strata) != digest(roles, no_strata())


def test_a_digest_is_the_sha256_of_sorted_lines() -> None:
    roles = pd.DataFrame({"cell_id": ["b", "a"], "fold": [0, 0], "role": ["test", "train"]})
    strata = pd.DataFrame({"fold": [0], "unit": ["u"], "stratum": ["rare"]})
    import hashlib

    lines = "a,0,train\nb,0,test\n0,u,rare"
    assert digest(roles, strata) == hashlib.sha256(lines.encode()).hexdigest()


def test_the_lock_of_a_split_stops_what_differs_or_is_not_frozen(atlas_board: Board) -> None:
    name = split_name(atlas_board)
    assert name == "cell_type_annotation-donor"
    check_frozen(atlas_board, "abc", {"tiny": {name: "abc"}})
    with pytest.raises(SplitError, match=r"expected abc, got abd.*release is superseded"):
        check_frozen(atlas_board, "abd", {"tiny": {name: "abc"}})
    locks: list[dict[str, Any]] = [{}, {"tiny": {}}]
    for lock in locks:
        with pytest.raises(SplitError, match=r"not frozen\. Run `heldout freeze tiny`"):
            check_frozen(atlas_board, "abc", lock)


def test_the_key_of_a_case_names_release_board_and_fold(atlas_board: Board) -> None:
    assert case_key("2026.1", atlas_board, 3) == "2026.1/tiny-cell_type_annotation-donor/3"


def move_a_cell(roles: pd.DataFrame) -> pd.DataFrame:
    changed = roles.copy()
    at = changed.index[(changed["fold"] == 0) & (changed["role"] == "test")][0]
    changed.loc[at, "role"] = "train"
    return changed


def give_two_roles(roles: pd.DataFrame) -> pd.DataFrame:
    extra = roles[roles["role"] == "test"].head(1).assign(role="train")
    return pd.concat([roles, extra], ignore_index=True)


def empty_validation(roles: pd.DataFrame) -> pd.DataFrame:
    return roles.assign(role=roles["role"].replace({"validation": "train"}))


@pytest.mark.parametrize(
    ("plant", "told"),
    [
        (move_a_cell, r"fold 0: 1 value\(s\) of donor_id are in train and in test: \['D"),
        (give_two_roles, r"1 cell\(s\) have two roles in one fold"),
        (empty_validation, "no cell has the role validation"),
    ],
)
def test_a_planted_leak_stops_the_split(
    atlas: "AnnData",
    atlas_roles: pd.DataFrame,
    atlas_board: Board,
    plant: Callable[[pd.DataFrame], pd.DataFrame],
    told: str,
) -> None:
    check_roles(atlas_roles, atlas.obs, atlas_board)
    with pytest.raises(LeakageError, match=told):
        check_roles(plant(atlas_roles), atlas.obs, atlas_board)


def test_a_control_cell_in_training_stops_the_split(
    screen: "AnnData", screen_roles: pd.DataFrame, screen_board: Board
) -> None:
    check_roles(screen_roles, screen.obs, screen_board)
    roles = screen_roles.copy()
    roles.loc[roles.index[roles["role"] == "control_truth"][0], "role"] = "train"
    with pytest.raises(LeakageError, match=r"fold 0: 1 control cell\(s\) have another role"):
        check_roles(roles, screen.obs, screen_board)
