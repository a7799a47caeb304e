"""Units of annotation boards: rare and unseen labels, pooled probabilities, constants."""

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest

from leaderboard.cases import build_case
from leaderboard.metrics import METRICS
from leaderboard.score import metrics_of, score_board, score_unit
from leaderboard.spec import AnnotationUnit, Board, Evidence, Metric, Observation
from leaderboard.tasks import TASKS
from leaderboard.tasks._annotation import freeze

if TYPE_CHECKING:
    from anndata import AnnData

TASK = TASKS["cell_type_annotation"]
BOARD = Board(dataset="tiny", task=TASK.name, split="donor", unit="donor_id")
ALL = metrics_of(TASK.name)
CONSTANTS = {"class_units": {"u": ["A"]}, "rare": ["B"]}


def fold(number: int, cells: dict[str, str], columns: dict[str, list[float]]) -> Evidence:
    """``cells`` has ``label`` and ``predicted``, a letter a cell, and where the label is unseen."""
    ids = [f"{number}-{k}" for k in range(len(cells["label"]))]
    truth = pd.DataFrame({"cell_id": ids, "role": "test", "unit": "u"})
    truth["label"] = list(cells["label"])
    truth["seen"] = [c == "1" for c in cells.get("seen", "1" * len(ids))]
    prediction = pd.DataFrame({"cell_id": ids, "label": list(cells["predicted"])})
    for name, values in columns.items():
        prediction[f"p:{name}"] = np.array(values, dtype=np.float32)
    return Evidence(fold=number, seed=0, prediction=prediction[::-1], truth=truth)


def only(evidence: list[Evidence]) -> tuple[Observation, AnnotationUnit]:
    (observation,) = TASK.observe(evidence, BOARD, CONSTANTS)
    (unit,) = observation.parts
    return observation, unit


def given(unit: AnnotationUnit) -> np.ndarray:
    assert unit.probability is not None
    return unit.probability


# What scoring sees of a unit


def test_truth_says_which_labels_training_held(atlas: "AnnData", atlas_board: Board) -> None:
    donor = atlas.obs["donor_id"]
    role = np.where(donor == "D0", "test", np.where(donor == "D1", "validation", "train"))
    roles = pd.DataFrame({"cell_id": atlas.obs_names, "fold": 0, "role": role})
    adata = atlas.copy()
    adata.obs["cell_type"] = adata.obs["cell_type"].astype(str)
    # A is gone from training and kept in validation; C is in the test cells alone.
    adata.obs.loc[(role == "train") & (adata.obs["cell_type"] == "A"), "cell_type"] = "B"
    adata.obs.loc[(role != "test") & (adata.obs["cell_type"] == "C"), "cell_type"] = "B"
    case = build_case(adata, roles, atlas_board, 0, "test")
    seen = case.truth.groupby("label")["seen"].agg(["min", "max"])
    assert seen.to_numpy().tolist() == [[True, True], [True, True], [False, False]]
    assert case.truth["seen"].dtype == bool
    assert "seen" not in case.inputs.obs


def test_a_unit_carries_classes_rare_labels_unseen_cells_and_probabilities() -> None:
    cells = {"label": "ABC", "predicted": "ABA", "seen": "110"}
    observation, unit = only([fold(3, cells, {"A": [0.9, 0.2, 0.5], "B": [0.1, 0.8, 0.5]})])
    assert (observation.fold, observation.unit, observation.n) == (3, "u", 3)
    assert (unit.classes, unit.rare, unit.names) == (("A",), ("B",), ("A", "B"))
    assert unit.label.tolist() == ["A", "B", "C"]
    assert unit.is_unseen is not None
    assert unit.is_unseen.tolist() == [False, False, True]
    assert given(unit) == pytest.approx(np.array([[0.9, 0.1], [0.2, 0.8], [0.5, 0.5]]))


def test_rows_of_probabilities_sum_to_one_exactly_enough_for_bounds() -> None:
    cells = {"label": "AB", "predicted": "AB"}
    _, unit = only([fold(0, cells, {"A": [1.00009, 0.0], "B": [0.0, 0.99992]})])
    assert given(unit).sum(axis=1) == pytest.approx(1.0, abs=1e-15)
    assert METRICS["brier"].compute(unit) == 0.0


def test_folds_that_trained_on_other_labels_are_pooled_with_zeros() -> None:
    one = fold(0, {"label": "AB", "predicted": "AB"}, {"A": [0.7, 0.4], "B": [0.3, 0.6]})
    two = fold(1, {"label": "AC", "predicted": "CC"}, {"A": [0.2, 0.1], "C": [0.8, 0.9]})
    observation, unit = only([one, two])
    assert observation.fold == -1
    table = pd.DataFrame(given(unit), columns=list(unit.names))[["A", "B", "C"]]
    expected = [[0.7, 0.3, 0], [0.4, 0.6, 0], [0.2, 0, 0.8], [0.1, 0, 0.9]]
    np.testing.assert_allclose(table, expected, atol=1e-6)
    assert METRICS["brier"].compute(unit) == pytest.approx((0.18 + 0.32 + 1.28 + 0.02) / 4)


def test_a_unit_has_probabilities_for_all_of_its_cells_or_none() -> None:
    one = fold(0, {"label": "AB", "predicted": "AB"}, {"A": [0.7, 0.4], "B": [0.3, 0.6]})
    for columns in ({}, {"A": [0.5, np.nan], "B": [0.5, 0.5]}):
        two = fold(1, {"label": "AB", "predicted": "BB"}, columns)
        _, unit = only([one, two])
        assert unit.probability is None
        assert unit.names == ()
        rows = score_board("me", BOARD, [one, two], CONSTANTS, ALL).set_index("metric")
        assert rows.loc["brier", "reason"] == "the entry gives no probabilities"
        assert rows.loc["accuracy", "value"] == pytest.approx(3 / 4)
        kinds = set(TASK.failures([one, two], BOARD, CONSTANTS)["kind"])
        assert kinds == {"confusion"}


def test_truth_without_the_column_seen_holds_no_unseen_label() -> None:
    item = fold(0, {"label": "AB", "predicted": "AB"}, {})
    _, unit = only([replace(item, truth=item.truth.drop(columns="seen"))])
    assert unit.is_unseen is None


def test_failures_of_a_unit_pooled_over_unlike_folds_are_finite() -> None:
    one = fold(0, {"label": "AB", "predicted": "AA"}, {"A": [0.95, 0.95], "B": [0.05, 0.05]})
    two = fold(1, {"label": "AC", "predicted": "CC"}, {"A": [0.2, 0.1], "C": [0.8, 0.9]})
    table = TASK.failures([one, two], BOARD, CONSTANTS)
    assert np.isfinite(table["value"]).all()
    errors = table[table["kind"] == "confident_error"]
    assert errors[["subject", "key"]].to_numpy().tolist() == [["B", "A"]]


# Constants


def donor_roles(adata: "AnnData", k: int = 3) -> pd.DataFrame:
    donors = np.unique(adata.obs["donor_id"].astype(str))
    parts = []
    for number in range(k):
        test = adata.obs["donor_id"].isin(donors[number::k])
        validation = adata.obs["donor_id"].isin(donors[(number + 1) % k :: k])
        role = np.where(test, "test", np.where(validation, "validation", "train"))
        parts.append(pd.DataFrame({"cell_id": adata.obs_names, "fold": number, "role": role}))
    return pd.concat(parts, ignore_index=True)


def frozen(adata: "AnnData", roles: pd.DataFrame | None = None) -> dict[str, Any]:
    return freeze(adata, donor_roles(adata) if roles is None else roles, BOARD, ALL)


def relabelled(atlas: "AnnData", **counts: int) -> "AnnData":
    """Give the first cells of donors in turn a label of their own: its name and how many cells."""
    adata = atlas.copy()
    labels = adata.obs["cell_type"].astype(str).to_numpy(dtype=object)
    order = np.argsort([int(name.rpartition("-")[2]) % 40 for name in adata.obs_names])
    start = 0
    for name, n in counts.items():
        labels[order[start : start + n]] = name
        start += n
    adata.obs["cell_type"] = labels
    return adata


def test_rare_labels_are_those_outside_the_classes_or_under_one_percent(atlas: "AnnData") -> None:
    assert frozen(atlas)["rare"] == []
    # 18 of 240 cells are over 1 %, but a class needs 20; so 30 cells, 5 a donor, make one.
    assert frozen(relabelled(atlas, X=18))["rare"] == ["X"]
    assert frozen(relabelled(atlas, X=30))["rare"] == []
    import anndata

    # The same 30 cells are under 1 % of a board of 14 times as many.
    many = anndata.concat([relabelled(atlas, X=30), *[atlas] * 13], index_unique="-")
    assert frozen(many)["classes"] == ["A", "B", "C", "X"]
    assert frozen(many)["rare"] == ["X"]


def test_floors_are_shuffles_and_ceilings_the_truth(atlas: "AnnData") -> None:
    metrics = frozen(relabelled(atlas, X=18))["metrics"]
    for name in ("accuracy", "balanced_accuracy", "macro_f1", "rare_recall"):
        assert metrics[name]["ceiling"] == 1.0
        assert metrics[name]["trusted"], name
    for name in ("aurc", "brier", "ece"):
        assert metrics[name]["ceiling"] == 0.0
    label = relabelled(atlas, X=18).obs
    share = label.groupby("donor_id")["cell_type"].value_counts(normalize=True)
    chance = share.pow(2).groupby("donor_id").sum().mean()
    assert metrics["accuracy"]["floor"] == pytest.approx(chance, abs=0.02)
    # All cells have the same probabilities, so selective risk is the share of errors.
    assert metrics["aurc"]["floor"] == pytest.approx(1 - metrics["accuracy"]["floor"], abs=1e-9)
    board = label["cell_type"].value_counts(normalize=True)
    of_donors = [
        1 + (board**2).sum() - 2 * (share[donor] * board).dropna().sum()
        for donor in share.index.unique(0)
    ]
    assert metrics["brier"]["floor"] == pytest.approx(np.mean(of_donors), abs=1e-9)


def test_calibration_is_not_trusted_because_frequencies_alone_are_calibrated(
    atlas: "AnnData",
) -> None:
    ece = frozen(atlas)["metrics"]["ece"]
    assert not ece["trusted"]
    assert ece["reason"].startswith("the frequencies of labels alone")


def test_a_metric_that_no_unit_defines_says_so_in_place_of_a_floor(atlas: "AnnData") -> None:
    metrics = frozen(atlas)["metrics"]
    for name in ("open_set_auroc", "rare_recall"):
        assert not metrics[name]["trusted"]
        assert metrics[name]["ceiling_kind"] == "none"
        assert metrics[name]["reason"].startswith("undefined in every unit of this board: ")


def test_a_board_without_a_class_freezes(atlas: "AnnData") -> None:
    adata = relabelled(atlas)
    adata.obs["cell_type"] = [f"T{k % 20:02d}" for k in range(adata.n_obs)]
    found = frozen(adata)
    assert found["classes"] == []
    assert len(found["rare"]) == 20
    macro_f1, rare = found["metrics"]["macro_f1"], found["metrics"]["rare_recall"]
    assert not macro_f1["trusted"]
    assert "no class of the board has 5 cells" in macro_f1["reason"]
    assert rare["trusted"]
    assert 0 < rare["floor"] < 0.15


def test_the_open_set_metric_is_measured_where_a_fold_lacks_a_label(atlas: "AnnData") -> None:
    adata = relabelled(atlas)
    donor = adata.obs["donor_id"] == "D0"
    adata.obs.loc[donor & (adata.obs["cell_type"] == "C"), "cell_type"] = "X"
    metrics = frozen(adata)["metrics"]
    auroc = metrics["open_set_auroc"]
    assert (auroc["floor"], auroc["ceiling"], auroc["trusted"]) == (0.5, 1.0, True)
    assert metrics["brier"]["ceiling"] == 0.0
    assert not metrics["rare_recall"]["trusted"]


def test_constants_ignore_the_order_of_cells_and_of_roles(atlas: "AnnData") -> None:
    adata = relabelled(atlas, X=18)
    roles = donor_roles(adata)
    order = np.random.default_rng(0).permutation(adata.n_obs)
    shuffled = roles.sample(frac=1, random_state=0)
    assert frozen(adata[order].copy(), shuffled) == frozen(adata, roles)


@pytest.mark.parametrize("metric", ALL, ids=lambda m: str(m.name))
def test_the_ceiling_is_what_the_truth_scores_as_a_prediction(
    atlas: "AnnData", metric: Metric
) -> None:
    adata = relabelled(atlas, X=18)
    roles = donor_roles(adata)
    constants = frozen(adata, roles)
    if not constants["metrics"][metric.name]["trusted"]:
        pytest.skip(constants["metrics"][metric.name]["reason"])
    values, weights = [], []
    for number in range(3):
        truth = build_case(adata, roles, BOARD, number, "test").truth
        told = truth[["cell_id", "label"]].copy()
        for name in np.unique(adata.obs["cell_type"]):
            told[f"p:{name}"] = (truth["label"] == name).astype(np.float32)
        item = Evidence(fold=number, seed=0, prediction=told, truth=truth)
        for observation in TASK.observe([item], BOARD, constants):
            (row,) = score_unit(observation, [metric])
            if row.value is not None:
                values.append(row.value)
                weights.append(row.n if metric.is_pooled else 1)
    found = np.average(values, weights=weights)
    assert found == pytest.approx(constants["metrics"][metric.name]["ceiling"], abs=1e-12)
