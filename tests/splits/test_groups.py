"""Splits over the values of one column: folds, validation, two groups, donors in two batches."""

import hashlib

import numpy as np
import pandas as pd
import pytest
from hypothesis import given

from leaderboard.cases import check_roles, draw
from leaderboard.errors import SplitError
from leaderboard.spec import CONTROL, SplitRequest, Splitter
from leaderboard.splits import SPLITTERS
from leaderboard.splits._rules import LEAVE_ONE_OUT_LIMIT, validation_groups
from tests.splits._obs import (
    BY_GROUP,
    RULE,
    SIDES,
    annotation_board,
    assign,
    column_of,
    each,
    make_obs,
    perturbation_board,
    seeds,
    sizes,
    values_by_role,
)

group_splitter = each(BY_GROUP)


def test_these_splits_cut_these_columns() -> None:
    found = {s.name: column_of(s) for s in BY_GROUP}
    assert found == {
        "donor": "donor_id",
        "batch": "batch",
        "tissue": "tissue",
        "time": "time",
        "condition": "condition",
        "context": "cell_line",
    }


@group_splitter
@pytest.mark.parametrize("groups", [2, 3, 7, 8, 9, 13])
def test_few_groups_are_left_out_one_by_one_and_many_in_k_folds(
    splitter: Splitter, groups: int
) -> None:
    obs = make_obs(groups, 1)
    roles = assign(splitter, obs)
    assert LEAVE_ONE_OUT_LIMIT == 8
    n_folds = groups if groups <= 8 else 5
    assert roles["fold"].nunique() == n_folds
    values = values_by_role(roles, obs, column_of(splitter))
    tested = [len(values[fold, "test"]) for fold in range(n_folds)]
    assert max(tested) - min(tested) <= 1


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
def test_one_group_is_a_split_error_that_counts_it(splitter: Splitter) -> None:
    with pytest.raises(SplitError, match=rf"{column_of(splitter)}: .* over 1 group"):
        assign(splitter, make_obs(1, 0))


@group_splitter
@given(seed=seeds)
def test_with_two_groups_validation_is_fifteen_percent_of_the_cells_of_the_other(
    splitter: Splitter, seed: int
) -> None:
    obs = make_obs(2, seed)
    roles = assign(splitter, obs)
    column = column_of(splitter)
    values = values_by_role(roles, obs, column)
    perturbed = obs if splitter.name != "context" else obs[obs["perturbation"] != CONTROL]
    n = perturbed[column].value_counts()
    for fold in (0, 1):
        (other,) = values[fold, "train"]
        assert values[fold, "validation"] == {other}
        assert values[fold, "test"] == set(obs[column]) - {other}
        assert sizes(roles, "validation")[fold] == round(0.15 * n[other])
        assert sizes(roles, "train")[fold] == n[other] - round(0.15 * n[other])


def test_the_validation_cells_of_a_single_group_come_first_in_the_order_of_a_hash() -> None:
    obs = make_obs(2, 4)
    roles = assign(SPLITTERS["donor"], obs)
    for fold in (0, 1):
        rows = roles[roles["fold"] == fold].set_index("cell_id")["role"]
        rest = rows.index[rows != "test"]
        hashed = {
            cell: hashlib.sha256("\x1f".join(
                ("7", "donor_id", "validation", str(fold), cell)).encode()).hexdigest()
            for cell in rest
        }  # fmt: skip
        first = sorted(rest, key=lambda cell: hashed[cell])[: round(0.15 * len(rest))]
        assert set(first) == set(rows.index[rows == "validation"])


def test_two_groups_of_one_cell_leave_none_for_validation() -> None:
    obs = make_obs(2, 0).groupby("donor_id").head(1)
    with pytest.raises(SplitError, match=r"donor_id: fold \d leaves 1 cell"):
        assign(SPLITTERS["donor"], obs)


def nested_obs(n_shared: int = 1) -> pd.DataFrame:
    """9 donors of 20 cells, 3 to a batch; of the first ``n_shared`` half are in the next batch."""
    donor = np.repeat([f"D{i}" for i in range(9)], 20)
    batch = np.repeat([f"b{i // 3}" for i in range(9)], 20)
    for number in range(n_shared):
        batch[np.flatnonzero(donor == f"D{number}")[:10]] = f"b{(number // 3 + 1) % 3}"
    index = [f"c{i:03d}" for i in range(len(donor))]
    return pd.DataFrame({"donor_id": donor, "batch": batch}, index=index)


@pytest.mark.parametrize("n_shared", [0, 1, 3, 4, 6])
def test_a_fold_leaves_out_the_other_cells_of_the_donors_of_its_batch(n_shared: int) -> None:
    obs = nested_obs(n_shared)
    roles, _ = draw(obs, annotation_board("batch", unit="batch"), RULE)
    for fold, rows in roles.groupby("fold"):
        test = rows.loc[rows["role"] == "test", "cell_id"]
        people = set(obs.loc[test, "donor_id"])
        tested_batch = set(obs.loc[test, "batch"])
        strangers = obs[~obs["donor_id"].isin(people)]
        used = set(rows.loc[rows["role"] != "test", "cell_id"])
        assert set(test) == set(obs.index[obs["batch"].isin(tested_batch)]), fold
        assert used == set(strangers.index), fold
    check_roles(roles, obs, annotation_board("batch", unit="batch"))


def test_a_batch_without_other_donors_left_trains_on_what_is_left() -> None:
    """b1 shares all its donors with b0, so fold b0 has b2 alone and cuts validation from it."""
    obs = nested_obs(0)
    obs.loc[obs["batch"] == "b1", "donor_id"] = "D0"
    board = annotation_board("batch", unit="batch")
    roles, _ = draw(obs, board, RULE)
    values = values_by_role(roles, obs, "batch")
    fold = next(f for f in range(3) if values[f, "test"] == {"b0"})
    assert values[fold, "train"] == values[fold, "validation"] == {"b2"}
    assert sizes(roles, "validation")[fold] == round(0.15 * 60)
    check_roles(roles, obs, board)


def test_donors_crossed_with_batches_stay_because_nothing_else_could_be_trained_on() -> None:
    obs = make_obs(4, 0)
    roles = assign(SPLITTERS["batch"], obs)
    assert len(roles) == len(obs) * roles["fold"].nunique()
    donors = values_by_role(roles, obs, "donor_id")
    assert donors[0, "test"] & donors[0, "train"]


def test_the_batches_of_a_perturbation_board_keep_their_donors() -> None:
    obs = make_obs(3, 0)
    obs["donor_id"] = obs["batch"].map({"batch0": "x", "batch1": "y", "batch2": "z"})
    obs.loc[obs.index[:50], "donor_id"] = "x"
    roles, _ = draw(obs, perturbation_board("batch"), RULE)
    n_perturbed = int((obs["perturbation"] != CONTROL).sum())
    sides = roles[roles["role"].isin(SIDES)]
    assert set(sides.groupby("fold").size()) == {n_perturbed}


def test_the_context_split_needs_a_context() -> None:
    with pytest.raises(SplitError, match="context: `context` must name the obs column"):
        SPLITTERS["context"].assign(make_obs(3, 0), SplitRequest(rule=RULE, task="t"))


@given(seed=seeds)
def test_the_context_split_asks_for_every_perturbation_of_a_context_and_gives_its_controls(
    seed: int,
) -> None:
    obs = make_obs(4, seed)
    board = perturbation_board("context", context="cell_line")
    roles, strata = draw(obs, board, RULE)
    check_roles(roles, obs, board)
    assert strata.empty
    for _, rows in roles.groupby("fold"):
        test = obs.loc[rows.loc[rows["role"] == "test", "cell_id"]]
        (line,) = test["cell_line"].unique()
        of_line = obs[obs["cell_line"] == line]
        assert set(test["perturbation"]) == set(of_line["perturbation"]) - {CONTROL}
        shown = obs.loc[rows.loc[rows["role"] == "control_input", "cell_id"]]
        assert set(shown["cell_line"]) == set(obs["cell_line"])
        assert line not in set(obs.loc[rows.loc[rows["role"] == "train", "cell_id"], "cell_line"])
