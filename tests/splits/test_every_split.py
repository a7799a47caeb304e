"""What holds of every splitter: disjoint sides, sorted ids, one role, halved controls."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given

from leaderboard.cases import digest
from leaderboard.errors import SplitError
from leaderboard.spec import CONTROL, Splitter
from leaderboard.splits import SPLITTERS
from tests.splits._obs import (
    COLUMN,
    CONTROL_ROLES,
    HOLDING_OUT,
    ONCE,
    SIDES,
    assign,
    column_of,
    contexts,
    each,
    make_obs,
    n_groups,
    no_strata,
    seeds,
    values_by_role,
)

any_splitter = each(SPLITTERS.values())
column_splitter = each(COLUMN)
holding_out = each(HOLDING_OUT)


@column_splitter
@given(groups=n_groups, seed=seeds, context=contexts)
def test_no_value_of_the_held_out_column_is_on_two_sides(
    splitter: Splitter, groups: int, seed: int, context: str | None
) -> None:
    """Training and validation share one only where a fold has no other to train on."""
    obs = make_obs(groups, seed)
    roles = assign(splitter, obs, context)
    values = values_by_role(roles, obs, column_of(splitter))
    for fold in roles["fold"].unique():
        train, validation, test = (values[fold, role] for role in SIDES)
        assert not train & test
        assert not validation & test
        if len(train | validation) == 1:
            assert groups == 2
        else:
            assert not train & validation


@each(ONCE)
@given(groups=n_groups, seed=seeds, context=contexts)
def test_every_value_is_tested_exactly_once(
    splitter: Splitter, groups: int, seed: int, context: str | None
) -> None:
    obs = make_obs(groups, seed)
    column = column_of(splitter)
    values = values_by_role(assign(splitter, obs, context), obs, column)
    tested = [value for (_, role), found in values.items() if role == "test" for value in found]
    wanted = set(obs[column])
    if column == "perturbation":
        wanted = {v for v in wanted if v != CONTROL and "+" not in v}
    assert sorted(tested) == sorted(wanted)


@any_splitter
@given(groups=n_groups, seed=seeds)
def test_every_cell_has_one_role_a_fold_and_folds_count_from_0(
    splitter: Splitter, groups: int, seed: int
) -> None:
    roles = assign(splitter, make_obs(groups, seed))
    assert not roles.duplicated(["cell_id", "fold"]).any()
    assert sorted(roles["fold"].unique()) == list(range(roles["fold"].max() + 1))


@each(s for s in SPLITTERS.values() if s.name != "combination")
@given(groups=n_groups, seed=seeds)
def test_every_cell_is_tested_at_most_once(splitter: Splitter, groups: int, seed: int) -> None:
    roles = assign(splitter, make_obs(groups, seed))
    assert not roles[roles["role"] == "test"].duplicated("cell_id").any()


@holding_out
@given(groups=n_groups, seed=seeds)
def test_every_fold_has_training_validation_and_test_cells(
    splitter: Splitter, groups: int, seed: int
) -> None:
    roles = assign(splitter, make_obs(groups, seed))
    for _, rows in roles.groupby("fold"):
        assert set(SIDES) <= set(rows["role"])


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
    used = {column_of(splitter), "donor_id", "perturbation", "cell_type"}
    other = obs.assign(**{c: "x" for c in obs.columns if c not in used})
    pd.testing.assert_frame_equal(assign(splitter, other), assign(splitter, obs))


@holding_out
@pytest.mark.parametrize("groups", [2, 12])
def test_a_seed_gives_the_same_split_again_and_seeds_differ(
    splitter: Splitter, groups: int
) -> None:
    obs = make_obs(groups, 0)
    first = assign(splitter, obs, seed=3)
    pd.testing.assert_frame_equal(assign(splitter, obs.copy(), seed=3), first)
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


@holding_out
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
    context = "cell_line" if splitter.name == "context" else "cell_type"
    halves = controls[controls["fold"] == 0]
    n = pd.crosstab(obs.loc[halves["cell_id"], context].to_numpy(), halves["role"].to_numpy())
    assert set(n["control_input"] - n["control_truth"]) <= {0, 1}
    assert set(n.index) == set(obs[context])


@each(s for s in SPLITTERS.values() if not s.holds_out)
def test_a_split_that_holds_nothing_out_tests_every_cell_once(splitter: Splitter) -> None:
    obs = make_obs(6, 0)
    roles = assign(splitter, obs)
    assert list(roles["cell_id"]) == sorted(obs.index)
    assert set(roles["role"]) == {"test"}
    assert set(roles["fold"]) == {0}


def test_the_halves_of_controls_do_not_depend_on_the_other_cells() -> None:
    obs = make_obs(6, 0)
    splitter = SPLITTERS["donor"]
    one = assign(splitter, obs, "cell_type")
    fewer = obs[(obs["perturbation"] == CONTROL) | (obs["donor_id"] != "donor_id0")]
    other = assign(splitter, fewer, "cell_type")

    def halves(roles: pd.DataFrame) -> pd.Series:
        return roles[roles["role"].isin(CONTROL_ROLES)].groupby("cell_id")["role"].first()

    pd.testing.assert_series_equal(halves(one), halves(other))


@pytest.mark.parametrize("kept", [0, 1])
def test_a_context_without_two_control_cells_is_a_split_error_that_names_it(kept: int) -> None:
    obs = make_obs(6, 0)
    controls = obs.index[(obs["perturbation"] == CONTROL) & (obs["cell_type"] == "k2")]
    with pytest.raises(SplitError, match=r"1 cell_type value\(s\) have fewer than 2 .*\['k2'\]"):
        assign(SPLITTERS["perturbation"], obs.drop(index=controls[kept:]))
