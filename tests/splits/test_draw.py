"""From a board's line to its split: ``where``, missing columns, digests, locks, planted leaks."""

import hashlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from leaderboard.cases import case_key, check_frozen, check_roles, digest, draw, select, split_name
from leaderboard.errors import LeakageError, SplitError
from leaderboard.freeze import split_digests
from leaderboard.spec import Board
from leaderboard.splits import SPLITTERS
from tests.splits._obs import (
    RULE,
    annotation_board,
    assign,
    make_obs,
    no_strata,
    perturbation_board,
    seeds,
)

if TYPE_CHECKING:
    from anndata import AnnData


def board_where(**where: tuple[str, ...]) -> Board:
    return perturbation_board("perturbation", where=where, variant="some")


@given(groups=st.integers(3, 8), seed=seeds, n=st.integers(1, 3))
def test_where_draws_the_same_split_as_the_cells_alone(groups: int, seed: int, n: int) -> None:
    obs = make_obs(groups, seed)
    lines = tuple(f"cell_line{i}" for i in range(n))
    alone = obs[[str(line) in lines for line in obs["cell_line"]]]
    split = draw(obs, board_where(cell_line=lines), RULE)
    assert digest(*split) == digest(*draw(alone, perturbation_board("perturbation"), RULE))
    assert set(obs.loc[split[0]["cell_id"], "cell_line"]) == set(lines)


def test_where_keeps_the_cells_that_meet_every_column() -> None:
    obs = make_obs(4, 0)
    kept = select(obs, board_where(cell_type=("k1",), batch=("batch0", "batch3")))
    wanted = [
        c == "k1" and b in {"batch0", "batch3"}
        for c, b in zip(obs["cell_type"], obs["batch"], strict=True)
    ]
    pd.testing.assert_frame_equal(kept, obs[wanted])
    pd.testing.assert_frame_equal(select(obs, perturbation_board("donor")), obs)


def test_where_compares_numbers_flags_and_categories_as_text_and_never_a_missing_value() -> None:
    obs = make_obs(4, 0)
    obs["time"] = np.resize([0, 6, 60], len(obs))
    obs["guide_ok"] = np.resize([True, False], len(obs))
    obs["kind"] = pd.Categorical(np.resize(["a", "nan", None], len(obs)))
    assert set(select(obs, board_where(time=("6", "60")))["time"]) == {6, 60}
    assert select(obs, board_where(guide_ok=("True",)))["guide_ok"].all()
    kept = select(obs, board_where(kind=("nan",)))["kind"]
    assert len(kept) == 200
    assert kept.notna().all()


@pytest.mark.parametrize(
    ("where", "told"),
    [
        ({"clone": ("a",)}, "d-.*-perturbation-some: obs has no column 'clone'"),
        ({"cell_type": ("k1", "k9")}, r"`where` asks for cell_type in .* no cell has \['k9'\]"),
        ({"cell_type": ()}, r"`where` asks for cell_type in \[\]"),
        ({"cell_type": ("k1",), "batch": ("batch1",)}, "no cell meets all of `where`"),
    ],
)
def test_a_where_that_nothing_meets_is_a_split_error(
    where: dict[str, tuple[str, ...]], told: str
) -> None:
    obs = make_obs(4, 0)
    obs.loc[obs["batch"] == "batch1", "cell_type"] = "k2"
    with pytest.raises(SplitError, match=told):
        draw(obs, board_where(**where), RULE)


def test_a_variant_has_a_split_of_its_own_in_the_lock() -> None:
    obs = make_obs(4, 0)
    boards = [perturbation_board("perturbation"), board_where(cell_type=("k1",))]
    found = split_digests(obs, boards, RULE)
    assert list(found) == [
        "perturbation_prediction-perturbation",
        "perturbation_prediction-perturbation-some",
    ]
    assert len(set(found.values())) == 2


def test_a_missing_column_is_a_split_error_that_names_it(atlas: "AnnData") -> None:
    with pytest.raises(SplitError, match=r"d-.*-donor: obs has no column 'patient'"):
        draw(atlas.obs, annotation_board("donor", unit="patient"), RULE)
    with pytest.raises(SplitError, match="obs has no column 'tissue'"):
        draw(atlas.obs, annotation_board("random", matches="tissue"), RULE)
    with pytest.raises(SplitError, match="obs has no column 'perturbation'"):
        draw(atlas.obs, perturbation_board("donor", unit="donor_id"), RULE)


@pytest.mark.parametrize("column", ["donor_id", "tissue"])
def test_a_missing_value_is_a_split_error_and_no_group_of_its_own(column: str) -> None:
    obs = make_obs(4, 0)
    obs.loc["cell007", column] = None
    with pytest.raises(SplitError, match=rf"1 cell\(s\) have no {column}, first cell007"):
        draw(obs, annotation_board("tissue"), RULE)


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


def share_a_donor(roles: pd.DataFrame) -> pd.DataFrame:
    changed = roles.copy()
    at = changed.index[(changed["fold"] == 0) & (changed["role"] == "train")][0]
    changed.loc[at, "role"] = "validation"
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
        (share_a_donor, r"fold 0: 1 value\(s\) of donor_id are in train and in validation"),
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


@pytest.mark.parametrize("role", ["train", "validation"])
def test_with_two_groups_training_and_validation_share_one_and_test_still_none(role: str) -> None:
    obs, board = make_obs(2, 0), annotation_board("tissue")
    roles, _ = draw(obs, board, RULE)
    check_roles(roles, obs, board)
    at = roles.index[(roles["fold"] == 1) & (roles["role"] == "test")][0]
    roles.loc[at, "role"] = role
    with pytest.raises(LeakageError, match=rf"fold 1: 1 value\(s\) of tissue are in {role} and in"):
        check_roles(roles, obs, board)


def test_a_control_cell_in_training_stops_the_split(
    screen: "AnnData", screen_roles: pd.DataFrame, screen_board: Board
) -> None:
    check_roles(screen_roles, screen.obs, screen_board)
    roles = screen_roles.copy()
    roles.loc[roles.index[roles["role"] == "control_truth"][0], "role"] = "train"
    with pytest.raises(LeakageError, match=r"fold 0: 1 control cell\(s\) have another role"):
        check_roles(roles, screen.obs, screen_board)
