"""The audit of splits: groups, combinations, size and confounding, each with a planted fault."""

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest

from leaderboard.audit import BOARD_CHECKS, CHECKS, BoardFiles, Finding, FoldFiles
from leaderboard.cases import draw
from leaderboard.spec import Board
from tests.splits._obs import RULE, annotation_board, make_obs, perturbation_board
from tests.splits.test_groups import nested_obs
from tests.splits.test_perturbations import few_doubles, screen

if TYPE_CHECKING:
    from anndata import AnnData

OF_SPLITS = ("groups", "roles", "controls", "combinations", "size", "confounding")


def files_of(obs: pd.DataFrame, board: Board, fold: int = 0) -> FoldFiles:
    """Return one fold of a board as drawn; checks of splits open no case."""
    from anndata import AnnData

    roles, _ = draw(obs, board, RULE)
    rows = roles.loc[roles["fold"] == fold, ["cell_id", "role"]]
    return FoldFiles(
        board=board, fold=fold, roles=rows, obs=obs, inputs=AnnData(), truth=pd.DataFrame(
            {"cell_id": pd.Series(dtype=str)}
        ),
    )  # fmt: skip


def found(files: FoldFiles, check: str, severity: str = "error") -> list[Finding]:
    return [f for f in CHECKS[check](files) if f.severity == severity]


def folds_of(obs: pd.DataFrame, board: Board) -> list[FoldFiles]:
    roles, _ = draw(obs, board, RULE)
    return [files_of(obs, board, int(fold)) for fold in roles["fold"].unique()]


def labelled(obs: pd.DataFrame) -> pd.DataFrame:
    """Give every cell one of three types, dealt apart from its groups."""
    kinds = np.resize(["A", "A", "B", "C"], len(obs))
    return obs.assign(cell_type=np.random.default_rng(0).permutation(kinds))


@pytest.mark.parametrize(
    "board",
    [
        *(annotation_board(s) for s in ("donor", "batch", "tissue", "time", "condition")),
        *(perturbation_board(s) for s in ("perturbation", "combination", "donor")),
        perturbation_board("context", context="cell_line"),
        perturbation_board("random", matches="perturbation"),
        annotation_board("random", matches="tissue"),
        perturbation_board("perturbation", where={"cell_type": ("k1",)}, variant="k1"),
    ],
    ids=lambda b: b.id,
)
@pytest.mark.parametrize("groups", [2, 4, 9])
def test_no_split_as_drawn_is_an_error(board: Board, groups: int) -> None:
    obs = make_obs(groups, 2)
    for files in folds_of(obs, board):
        assert [f for check in OF_SPLITS for f in found(files, check)] == []


def test_training_and_validation_share_a_group_only_where_it_is_the_only_one() -> None:
    obs = make_obs(2, 0)
    files = files_of(obs, annotation_board("tissue"))
    told = [f.message for f in found(files, "groups", "ok")]
    assert "one tissue is left to train on, so validation takes some of its cells" in told
    obs = make_obs(3, 0)
    files = files_of(obs, annotation_board("tissue"))
    roles = files.roles.copy()
    roles.loc[roles.index[roles["role"] == "train"][0], "role"] = "validation"
    (error,) = found(replace(files, roles=roles), "groups")
    assert error.message == "1 tissue in both train and validation"


@pytest.mark.parametrize("role", ["train", "validation"])
def test_a_tissue_on_both_sides_is_caught_where_there_are_two(role: str) -> None:
    files = files_of(make_obs(2, 0), annotation_board("tissue"))
    roles = files.roles.copy()
    roles.loc[roles.index[roles["role"] == "test"][0], "role"] = role
    told = [f.message for f in found(replace(files, roles=roles), "groups")]
    assert f"1 tissue in both {role} and test" in told


def plant(files: FoldFiles, name: str, role: str) -> FoldFiles:
    """Give the cells of one perturbation another role."""
    roles = files.roles.copy()
    cells = files.obs.index[files.obs["perturbation"] == name]
    roles.loc[roles["cell_id"].isin(cells), "role"] = role
    return replace(files, roles=roles)


@pytest.mark.parametrize("role", ["train", "validation"])
def test_a_combination_in_training_with_a_held_out_single_is_caught(role: str) -> None:
    files = files_of(screen(20, 40, 0), perturbation_board("combination"))
    test = files.roles.loc[files.roles["role"] == "test", "cell_id"]
    names = sorted(files.obs.loc[test, "perturbation"].unique())
    singles = {n for n in names if "+" not in n}
    shown = next(n for n in names if "+" in n and singles & set(n.split("+")))
    (error,) = found(plant(files, shown, role), "combinations")
    assert error.ids == (shown,)
    assert error.message == "1 combination(s) in training that contain a held-out single"


def test_a_tested_combination_that_is_trained_on_by_another_name_is_caught() -> None:
    obs = few_doubles(5)
    files = files_of(obs, perturbation_board("combination"))
    (tested,) = set(
        obs.loc[files.roles.loc[files.roles["role"] == "test", "cell_id"], "perturbation"]
    )
    other = "+".join(reversed(tested.split("+")))
    renamed = obs.copy()
    at = renamed.index[renamed["perturbation"] == "P03"][0]
    renamed.loc[at, "perturbation"] = other
    (error,) = found(replace(files, obs=renamed), "combinations")
    assert error.ids == (other,)
    assert error.message == "1 combination(s) in training and in test by another name"


def test_a_combination_on_both_sides_by_one_name_is_an_error_of_the_groups() -> None:
    files = files_of(few_doubles(5), perturbation_board("combination"))
    roles = files.roles.copy()
    roles.loc[roles.index[roles["role"] == "test"][0], "role"] = "train"
    leaked = replace(files, roles=roles)
    assert [f.message for f in found(leaked, "groups")] == ["1 perturbation in both train and test"]


@pytest.mark.parametrize(
    ("obs", "split"), [(screen(15, 12, 0), "perturbation"), (few_doubles(9), "combination")]
)
def test_a_split_too_small_to_rank_is_an_error_unless_the_board_declares_it(
    obs: pd.DataFrame, split: str
) -> None:
    files = files_of(obs, perturbation_board(split))
    (error,) = found(files, "size")
    assert error.message.endswith("too small to rank and not declared unranked")
    declared = replace(files, board=replace(files.board, unranked="negative control"))
    assert [f.severity for f in CHECKS["size"](declared)] == ["ok"]


@pytest.mark.parametrize(
    ("obs", "split"), [(screen(16, 12, 0), "perturbation"), (few_doubles(10), "combination")]
)
def test_a_split_just_large_enough_is_no_error(obs: pd.DataFrame, split: str) -> None:
    assert [f.severity for f in CHECKS["size"](files_of(obs, perturbation_board(split)))] == ["ok"]


def test_a_time_course_whose_label_is_the_day_is_refused() -> None:
    obs = pd.DataFrame(
        {"time": np.repeat(["0", "6", "10", "30"], 10)}, index=[f"c{i}" for i in range(40)]
    )
    obs["cell_type"] = "D" + obs["time"]
    for files in folds_of(obs, annotation_board("time", unit="time")):
        day = files.obs.loc[files.roles.loc[files.roles["role"] == "test", "cell_id"], "time"].iloc[
            0
        ]
        unseen, alone = found(files, "confounding")
        assert unseen.ids == (f"D{day}",)
        assert unseen.message == "1 label(s) of test cells, and training holds none of them"
        assert alone.ids == ("0", "10", "30", "6")
        assert alone.message == "4 time value(s), and none holds two labels"


def test_one_label_seen_in_training_or_one_mixed_unit_is_enough() -> None:
    obs = pd.DataFrame(
        {"time": np.repeat(["0", "6", "10", "30"], 10)}, index=[f"c{i}" for i in range(40)]
    )
    obs["cell_type"] = "D" + obs["time"]
    obs.loc[obs.groupby("time").head(1).index, "cell_type"] = "shared"
    for files in folds_of(obs, annotation_board("time", unit="time")):
        assert found(files, "confounding") == []


@pytest.mark.parametrize("role", ["train", "validation"])
def test_a_label_seen_in_training_or_in_validation_is_seen(role: str) -> None:
    obs = labelled(make_obs(4, 0))
    files = files_of(obs, annotation_board("tissue", unit="tissue"))
    cells = {r: files.roles.loc[files.roles["role"] == r, "cell_id"] for r in ("test", role)}
    obs.loc[cells["test"], "cell_type"] = "new"
    (unseen,) = found(replace(files, obs=obs), "confounding")
    assert unseen.ids == ("new",)
    obs.loc[cells[role].iloc[0], "cell_type"] = "new"
    assert found(replace(files, obs=obs), "confounding") == []


def test_unlabelled_cells_are_neither_seen_nor_a_second_label() -> None:
    obs = pd.DataFrame(
        {"time": np.repeat(["0", "6", "10"], 10)}, index=[f"c{i}" for i in range(30)]
    )
    obs["cell_type"] = "D" + obs["time"]
    obs.loc[obs.groupby("time").head(2).index, "cell_type"] = None
    files = files_of(obs, annotation_board("time", unit="time"))
    assert len(found(files, "confounding")) == 2


def test_units_are_those_that_where_keeps() -> None:
    obs = labelled(make_obs(4, 0))
    obs.loc[obs["batch"] == "batch0", "cell_type"] = "A"
    obs.loc[obs["batch"] == "batch1", "cell_type"] = "B"
    where = {"batch": ("batch0", "batch1")}
    files = files_of(obs, annotation_board("batch", unit="batch", where=where))
    assert [f.ids for f in found(files, "confounding") if "none holds" in f.message] == [
        ("batch0", "batch1")
    ]


@pytest.mark.parametrize("split", ["tissue", "time", "condition"])
def test_people_on_both_sides_are_counted_in_a_warning(split: str) -> None:
    obs = labelled(make_obs(4, 0))
    obs["donor_id"] = "only-" + obs[split]
    shared = obs.index[:60]
    obs.loc[shared, "donor_id"] = "everywhere"
    for files in folds_of(obs, annotation_board(split, unit=split)):
        test = files.roles.loc[files.roles["role"] == "test", "cell_id"]
        (warning,) = found(files, "confounding", "warning")
        assert warning.ids == ("everywhere",)
        n = int(test.isin(shared).sum())
        assert warning.message == (
            f"1 donor(s) in training and in test: {n} of {len(test)} test cells are of people "
            "trained on"
        )


@pytest.mark.parametrize("line", [{"split": "donor"}, {"split": "random", "matches": "tissue"}])
def test_donor_and_random_boards_warn_of_no_people(line: dict[str, Any]) -> None:
    files = files_of(labelled(make_obs(4, 0)), annotation_board(**line))
    assert found(files, "confounding", "warning") == []


def test_a_batch_board_warns_of_people_only_where_they_could_not_be_left_out() -> None:
    board = annotation_board("batch", unit="batch")
    for n_shared in (0, 1, 4):
        for files in folds_of(labelled(nested_obs(n_shared)), board):
            assert found(files, "confounding", "warning") == []
    crossed = files_of(labelled(make_obs(3, 0)), board)
    (warning,) = found(crossed, "confounding", "warning")
    assert warning.n == 3


def test_a_dataset_without_donors_has_no_people_to_count(atlas: "AnnData") -> None:
    obs = atlas.obs.drop(columns="donor_id")
    files = files_of(obs, annotation_board("condition", unit="batch"))
    assert [f.severity for f in CHECKS["confounding"](files)] == ["ok", "ok"]


EVERY_CELL = [
    *(annotation_board(s) for s in ("donor", "batch", "tissue", "time", "condition", "whole")),
    *(perturbation_board(s) for s in ("donor", "batch")),
    perturbation_board("context", context="cell_line"),
    annotation_board("random", matches="tissue"),
]


def uncovered(obs: pd.DataFrame, board: Board, roles: pd.DataFrame) -> dict[str, tuple[str, ...]]:
    files = BoardFiles(board=board, roles=roles, obs=obs, library="single")
    found = list(BOARD_CHECKS["cover"](files))
    assert len(found) == 2
    return {f.message: f.ids for f in found if f.severity == "error"}


@pytest.mark.parametrize("board", EVERY_CELL, ids=lambda b: b.id)
def test_every_cell_is_tested_exactly_once_or_the_cover_check_says_so(board: Board) -> None:
    obs = make_obs(4, 2)
    roles, _ = draw(obs, board, RULE)
    assert uncovered(obs, board, roles) == {}
    test = roles.index[roles["role"] == "test"]
    lost = roles.loc[test[0], "cell_id"]
    assert uncovered(obs, board, roles.drop(index=test[0])) == {
        "1 cell(s) that no fold tests": (lost,)
    }
    twice = pd.concat([roles, roles.loc[test[:1]].assign(fold=1)])
    assert uncovered(obs, board, twice) == {"1 cell(s) that several folds test": (lost,)}


def test_splits_of_perturbations_have_no_cells_to_cover() -> None:
    obs = make_obs(4, 2)
    for board in (
        perturbation_board("combination"), perturbation_board("random", matches="perturbation"),
    ):  # fmt: skip
        roles, _ = draw(obs, board, RULE)
        files = BoardFiles(board=board, roles=roles, obs=obs, library="single")
        assert list(BOARD_CHECKS["cover"](files)) == []
