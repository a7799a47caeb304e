"""The integration board: what models are shown, what is refused, frozen and listed as failure."""

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pytest
from sklearn.decomposition import PCA

from leaderboard.audit import CHECKS, FoldFiles
from leaderboard.cases import build_case, draw
from leaderboard.embedding import variance_explained
from leaderboard.errors import PredictionError
from leaderboard.models import MODELS
from leaderboard.predict import shown_to
from leaderboard.profiles import log_normalise
from leaderboard.score import failed_board, failures_of_board, metrics_of, score_board
from leaderboard.spec import Board, Case, Evidence, FoldRule
from leaderboard.tasks import TASKS
from leaderboard.tasks._integration import batch_variance, isolated_labels, mixture

if TYPE_CHECKING:
    from anndata import AnnData

TASK = TASKS["batch_integration"]
ALL = metrics_of("batch_integration")


@pytest.fixture
def placed(mixing_case: Case) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    places = pd.get_dummies(mixing_case.truth["label"]).to_numpy(dtype=float)
    places = places + rng.normal(0.0, 0.1, places.shape)
    table = pd.DataFrame(places.astype(np.float32), columns=["d0", "d1", "d2"])
    return table.assign(cell_id=mixing_case.truth["cell_id"])


@pytest.fixture
def constants(atlas: "AnnData", mixing_board: Board, rule: FoldRule) -> dict[str, object]:
    roles = draw(atlas.obs, mixing_board, rule)[0]
    return TASK.freeze(atlas, roles, mixing_board, ALL)


def evidence(case: Case, table: pd.DataFrame) -> list[Evidence]:
    return [Evidence(fold=0, seed=0, prediction=table, truth=case.truth)]


# Cases


def test_inputs_hold_every_labelled_cell_with_its_batch_and_nothing_else(
    atlas: "AnnData", mixing_board: Board, rule: FoldRule
) -> None:
    adata = atlas.copy()
    adata.obs.loc[adata.obs_names[::7], "cell_type"] = None
    case = build_case(adata, draw(adata.obs, mixing_board, rule)[0], mixing_board, 0, "test")
    real = adata[case.truth["real_cell_id"].to_numpy()]
    assert adata.obs["cell_type"].notna().sum() == case.inputs.n_obs == len(case.truth)
    assert set(case.inputs.obs.columns) == {"role", "batch", "cell_type"}
    assert set(case.inputs.obs["role"]) == {"test"}
    assert case.inputs.obs["batch"].tolist() == real.obs["batch"].tolist()
    assert case.truth["label"].tolist() == real.obs["cell_type"].tolist()
    assert list(case.inputs.obs_names) == case.truth["cell_id"].tolist()
    assert (case.inputs.X != real.X).nnz == 0


def test_only_models_that_declare_it_are_shown_labels(mixing_case: Case) -> None:
    for name, uses in (("hvg_pca", False), ("shuffled_globally", False), ("one_hot_labels", True)):
        shown = shown_to(mixing_case.inputs, MODELS[name], TASK)
        assert ("cell_type" in shown.obs) is uses
        assert "batch" in shown.obs


def test_the_audit_finds_nothing_in_a_case_and_a_planted_column(
    atlas: "AnnData", mixing_case: Case, mixing_board: Board, rule: FoldRule
) -> None:
    roles = draw(atlas.obs, mixing_board, rule)[0]
    files = FoldFiles(
        board=mixing_board, fold=0, roles=roles[["cell_id", "role"]], obs=atlas.obs,
        inputs=mixing_case.inputs.copy(), truth=mixing_case.truth.copy(),
    )  # fmt: skip
    errors = {f.check for c in CHECKS.values() for f in c(files) if f.severity == "error"}
    assert not errors
    files.inputs.obs["donor_id"] = atlas.obs["donor_id"].to_numpy()
    errors = {f.check for c in CHECKS.values() for f in c(files) if f.severity == "error"}
    assert "identifiers" in errors


# Predictions

BAD: dict[str, tuple[Callable[[pd.DataFrame], pd.DataFrame], str]] = {
    "a cell is missing": (lambda t: t.iloc[1:], "1 of .* missing, first cell_id="),
    "a cell is there twice": (lambda t: pd.concat([t, t.iloc[:1]]), "1 duplicated row"),
    "a cell was not asked for": (
        lambda t: pd.concat([t, t.iloc[:1].assign(cell_id="z")]),
        "not asked for, first cell_id=z",
    ),
    "no dimension": (lambda t: t[["cell_id"]], "expected the columns cell_id, d0"),
    "a gap": (lambda t: t.drop(columns="d1"), "without a gap"),
    "a column too many": (lambda t: t.assign(label="A"), "without a gap"),
    "a NaN": (lambda t: t.assign(d1=np.nan), "not finite"),
    "an infinity": (lambda t: t.assign(d1=np.inf), "not finite"),
    "too large for float32": (lambda t: t.assign(d1=1e39), "not finite in float32"),
    "text": (lambda t: t.assign(d1="x"), "hold no numbers, first d1"),
    "too many dimensions": (
        lambda t: pd.DataFrame(
            np.zeros((len(t), 1024)), columns=[f"d{k}" for k in range(1024)]
        ).assign(cell_id=t["cell_id"].to_numpy()),
        "1024 dimensions, at most 1023",
    ),
}


def test_a_right_embedding_passes_in_any_order(mixing_case: Case, placed: pd.DataFrame) -> None:
    keys = mixing_case.truth[["cell_id"]]
    TASK.check_prediction(placed.sample(frac=1, random_state=0), keys, [])


@pytest.mark.parametrize("fault", list(BAD))
def test_a_wrong_embedding_is_refused_with_the_reason(
    mixing_case: Case, placed: pd.DataFrame, fault: str
) -> None:
    spoil, told = BAD[fault]
    with pytest.raises(PredictionError, match=told):
        TASK.check_prediction(spoil(placed), mixing_case.truth[["cell_id"]], [])


# Scores


def test_metrics_have_a_row_a_batch_or_one_for_all_and_ignore_the_order_of_cells(
    mixing_board: Board, mixing_case: Case, placed: pd.DataFrame, constants: dict[str, object]
) -> None:
    rows = score_board("e", mixing_board, evidence(mixing_case, placed), constants, ALL)
    units = rows.groupby("metric")["unit"].agg(list)
    for metric in ALL:
        assert units[metric.name] == (["all"] if metric.is_whole else ["b0", "b1", "b2"])
    assert (rows["status"] == "ok").all()
    mixed = placed.sample(frac=1, random_state=1)
    other = score_board("e", mixing_board, evidence(mixing_case, mixed), constants, ALL)
    pd.testing.assert_frame_equal(rows, other)
    failed = failed_board("e", mixing_board, evidence(mixing_case, placed), "broke", ALL)
    assert set(zip(failed["metric"], failed["unit"], failed["n"], strict=True)) == set(
        zip(rows["metric"], rows["unit"], rows["n"], strict=True)
    )


def test_one_place_for_all_cells_is_undefined_everywhere_and_no_zero(
    mixing_board: Board, mixing_case: Case, placed: pd.DataFrame, constants: dict[str, object]
) -> None:
    flat = placed.assign(d0=0.0, d1=0.0, d2=0.0)
    rows = score_board("e", mixing_board, evidence(mixing_case, flat), constants, ALL)
    assert set(rows["status"]) == {"undefined"}
    assert rows["reason"].str.contains("one place").all()
    assert failures_of_board("e", mixing_board, evidence(mixing_case, flat), constants).empty


def test_failures_name_types_that_neighbours_take_for_others_and_types_that_stay_apart(
    mixing_board: Board, mixing_case: Case, placed: pd.DataFrame, constants: dict[str, object]
) -> None:
    is_c = (mixing_case.truth["label"] == "C").to_numpy()
    is_a = np.flatnonzero(mixing_case.truth["label"] == "A")
    values = placed[["d0", "d1", "d2"]].to_numpy()
    # Every cell of C goes into the crowd of A, where A outvotes it.
    values[is_c] = values[np.resize(is_a, is_c.sum())] + 0.01
    table = placed.assign(**dict(zip(("d0", "d1", "d2"), values.T, strict=True)))
    rows = failures_of_board("e", mixing_board, evidence(mixing_case, table), constants)
    found = rows[(rows["kind"] == "confusion") & (rows["subject"] == "C")]
    cells = found.groupby("key")["n"].sum()
    assert cells["A"] > 0.9 * is_c.sum()
    assert cells.sum() == is_c.sum()
    unmixed = rows[rows["kind"] == "unmixed_label"]
    assert set(unmixed["subject"]) == {"A", "B", "C"}
    assert unmixed["n"].sum() == len(table)


# Frozen


def test_isolated_labels_are_in_the_fewest_batches_and_have_ten_cells() -> None:
    table = pd.DataFrame(
        {"x": [50, 40, 30, 4], "y": [50, 0, 30, 0], "z": [50, 20, 0, 0]}, index=list("abcd")
    )
    assert isolated_labels(table) == ["b", "c"]
    assert isolated_labels(table.loc[["a", "d"]]) == ["a"]


def test_the_ceiling_of_mixing_is_what_random_neighbours_score() -> None:
    """A worked example, and a draw: the inverse of a mean is a little below the mean inverse."""
    table = pd.DataFrame({"x": [30, 5], "y": [30, 0]}, index=["a", "b"])
    assert mixture(table, np.inf) == pytest.approx(1.0)
    assert mixture(table, 10) == pytest.approx(1 / 0.55 - 1)
    uneven = pd.DataFrame({"x": [600], "y": [300], "z": [100]}, index=["a"])
    rng = np.random.default_rng(0)
    share = rng.multinomial(22, [0.6, 0.3, 0.1], 20000) / 22
    drawn = (1 / (share**2).sum(axis=1) - 1).mean() / 2
    assert 0.0 < drawn - mixture(uneven, 22) < 0.03


def test_batch_variance_is_that_of_fifty_components_of_log_counts(atlas: "AnnData") -> None:
    factor = np.asarray(atlas.X.sum(axis=1)).ravel().astype(float)
    logs = log_normalise(atlas.X, factor, float(np.median(factor))).toarray()
    places = PCA(n_components=40, svd_solver="full").fit_transform(logs)
    expected = variance_explained(places, atlas.obs["batch"].to_numpy(dtype=str))
    assert batch_variance(atlas, "batch") == pytest.approx(expected, rel=1e-9)


def test_what_is_frozen_follows_from_labels_and_batches_alone(
    atlas: "AnnData", constants: dict[str, object], mixing_board: Board, rule: FoldRule
) -> None:
    roles = draw(atlas.obs, mixing_board, rule)[0]
    order = np.random.default_rng(0).permutation(atlas.n_obs)
    again = TASK.freeze(atlas[order].copy(), roles, mixing_board, ALL)
    assert again.keys() == constants.keys()
    assert again["metrics"] == constants["metrics"]
    one = atlas[(atlas.obs["batch"] == "b0").to_numpy()].copy()
    roles = draw(one.obs, mixing_board, rule)[0]
    alone = TASK.freeze(one, roles, mixing_board, ALL)["metrics"]
    assert not any(metric["trusted"] for metric in alone.values())
    assert "one batch only" in alone["cilisi"]["reason"]
