"""Classes, constants and units of an annotation board."""

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pytest

from leaderboard.cases import build_case, draw
from leaderboard.spec import Board, Case, FoldRule
from leaderboard.tasks import TASKS
from leaderboard.tasks._annotation import classes_of
from tests.tasks._screens import constants_of, evidence_of, named_labels, with_probabilities

ANNOTATION = TASKS["cell_type_annotation"]

if TYPE_CHECKING:
    from anndata import AnnData


def class_tables() -> tuple[pd.DataFrame, pd.DataFrame]:
    """Four donors, each a fold of its own; cells by donor and label as written here.

    =====  ==  ==  ==  ==
    label  d0  d1  d2  d3
    =====  ==  ==  ==  ==
    Big    10  10  10  10   in C and in every C_u
    Thin    8   4   5   5   22 cells: in C; not in C_u of d1, which has 4
    Few     6   6   6   1   19 cells: not in C
    Local  15  15   0   0   30 cells in 2 units: not in C
    Own     0  12   6   6   in C: 3 units, and every training set has it
    =====  ==  ==  ==  ==
    """
    cells = {
        "Big": (10, 10, 10, 10),
        "Thin": (8, 4, 5, 5),
        "Few": (6, 6, 6, 1),
        "Local": (15, 15, 0, 0),
        "Own": (0, 12, 6, 6),
    }
    rows = [
        (f"d{d}", label)
        for label, numbers in cells.items()
        for d, n in enumerate(numbers)
        for _ in range(n)
    ]
    obs = pd.DataFrame(rows, columns=["donor_id", "cell_type"])
    obs.index = pd.Index([f"c{i}" for i in range(len(obs))])
    validation = {0: "d1", 1: "d2", 2: "d3", 3: "d0"}
    parts = []
    for fold in range(4):
        role = np.where(obs["donor_id"] == validation[fold], "validation", "train")
        role = np.where(obs["donor_id"] == f"d{fold}", "test", role)
        parts.append(pd.DataFrame({"cell_id": obs.index, "fold": fold, "role": role}))
    return obs, pd.concat(parts, ignore_index=True)


def test_classes_follow_the_worked_example() -> None:
    obs, roles = class_tables()
    assert classes_of(roles, obs, "donor_id") == {
        "d0": ["Big", "Thin"],
        "d1": ["Big", "Own"],
        "d2": ["Big", "Own", "Thin"],
        "d3": ["Big", "Own", "Thin"],
    }


def test_a_label_that_one_training_set_lacks_is_no_class() -> None:
    obs, roles = class_tables()
    without_d1 = roles[
        (roles["fold"] != 0) | (roles["role"] == "test") | (obs.loc[roles["cell_id"], "cell_type"]
        != "Own").to_numpy()
    ]  # fmt: skip
    assert "Own" not in classes_of(without_d1, obs, "donor_id")["d2"]


def test_with_two_units_a_class_must_be_in_both() -> None:
    obs, roles = class_tables()
    two = obs["donor_id"].isin(["d0", "d1"])
    roles = roles[two[roles["cell_id"]].to_numpy()]
    roles = roles[roles["fold"].isin([0, 1])]
    assert classes_of(roles, obs, "donor_id")["d0"] == ["Big", "Local"]


def test_annotation_constants_hold_classes_floor_and_ceiling(
    atlas: "AnnData", atlas_roles: pd.DataFrame, atlas_board: Board
) -> None:
    found = constants_of(atlas, atlas_roles, atlas_board)
    assert set(found["class_units"]) == {f"D{i}" for i in range(6)}
    assert found["classes"] == ["A", "B", "C"]
    for name in ("accuracy", "macro_f1"):
        metric = found["metrics"][name]
        assert metric["ceiling"] == metric["ceiling_low"] == metric["ceiling_high"] == 1.0
        assert metric["trusted"] is True
    # A shuffle gets each label right as often as two draws agree.
    share = atlas.obs.groupby("donor_id")["cell_type"].value_counts(normalize=True)
    expected = (share**2).groupby("donor_id").sum().mean()
    assert found["metrics"]["accuracy"]["floor"] == pytest.approx(expected, abs=0.02)


def test_annotation_constants_do_not_depend_on_the_order_of_cells(
    atlas: "AnnData", atlas_roles: pd.DataFrame, atlas_board: Board
) -> None:
    order = np.random.default_rng(2).permutation(atlas.n_obs)
    assert constants_of(atlas[order].copy(), atlas_roles, atlas_board) == constants_of(
        atlas, atlas_roles, atlas_board
    )


def test_where_labels_cannot_be_told_apart_the_metric_is_untrusted(
    atlas: "AnnData", atlas_roles: pd.DataFrame, atlas_board: Board
) -> None:
    adata = atlas.copy()
    adata.obs["cell_type"] = "A"
    metric = constants_of(adata, atlas_roles, atlas_board)["metrics"]["macro_f1"]
    assert metric["trusted"] is False
    assert "no better than shuffled" in metric["reason"]


def test_annotation_units_are_donors_with_the_frozen_classes(
    atlas_case: Case, atlas_board: Board
) -> None:
    units = sorted(atlas_case.truth["unit"].unique())
    constants = {"class_units": {unit: ["A", "C"] for unit in units}}
    prediction = named_labels(atlas_case).sample(frac=1, random_state=1)
    observations = ANNOTATION.observe([evidence_of(atlas_case, prediction)], atlas_board, constants)
    assert [o.unit for o in observations] == units
    for observation in observations:
        part = observation.parts[0]
        assert part.classes == ("A", "C")
        assert part.label.tolist() == part.predicted.tolist()
        assert (observation.fold, observation.n) == (0, len(part.label))


def test_a_unit_that_a_random_split_spreads_is_pooled_over_folds(
    atlas: "AnnData", rule: FoldRule
) -> None:
    board = Board(
        dataset="tiny", task="cell_type_annotation", split="random", unit="donor_id",
        matches="donor",
    )  # fmt: skip
    roles, _ = draw(atlas.obs, board, rule)
    cases = [build_case(atlas, roles, board, fold, "test") for fold in range(6)]
    evidence = [evidence_of(c, named_labels(c), k) for k, c in enumerate(cases)]
    observations = ANNOTATION.observe(evidence, board, {"class_units": {}})
    assert [(o.unit, o.fold, o.n) for o in observations] == [(f"D{i}", -1, 40) for i in range(6)]


def test_the_failure_table_of_annotation_adds_up(atlas_case: Case, atlas_board: Board) -> None:
    table = with_probabilities(atlas_case).assign(
        label="A", **{"p:A": 0.95, "p:B": 0.05, "p:C": 0.0}
    )
    found = ANNOTATION.failures([evidence_of(atlas_case, table)], atlas_board, {})
    confusion = found[found["kind"] == "confusion"]
    assert confusion["n"].sum() == len(atlas_case.truth)
    assert (confusion["value"] == 1.0).all()
    assert set(confusion["key"]) == {"A"}
    errors = found[found["kind"] == "confident_error"]
    assert set(errors["subject"]) == {"B", "C"}
    assert errors.groupby("unit").size().max() <= 20
    calibration = found[found["kind"] == "calibration"].set_index(["unit", "key"])["value"]
    for unit, cells in atlas_case.truth.groupby("unit"):
        assert calibration[unit, "confidence"] == pytest.approx(0.95)
        assert calibration[unit, "accuracy"] == pytest.approx((cells["label"] == "A").mean())
