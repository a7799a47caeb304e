"""Cases hide what they must, and their truth is that of the dataset."""

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

from leaderboard.cases import build_case
from leaderboard.spec import CONTROL, Board, Case
from leaderboard.tasks._ids import opaque_ids
from leaderboard.tasks._perturbation import unit_parts
from tests.tasks._screens import N_GENES, SINGLES, dense_cells, scored_moments

if TYPE_CHECKING:
    from anndata import AnnData


def labelled(real: "AnnData") -> "pd.Series[str]":
    series: pd.Series[str] = real.obs["cell_type"].astype(str)
    return series


# Opaque ids


def test_ids_are_a_keyed_hash_that_shuffles_and_repeats_itself() -> None:
    real = [f"donor1-b_cells-{i}" for i in range(200)]
    ids = opaque_ids(real, "2026.1/board/0")
    assert ids.is_monotonic_increasing
    assert ids.is_unique
    assert ids.str.fullmatch("[0-9a-f]{24}").all()
    assert set(ids.index) == set(real)
    assert list(ids.index) != sorted(real)
    pd.testing.assert_series_equal(opaque_ids(real[::-1], "2026.1/board/0"), ids)
    other = opaque_ids(real, "2026.1/board/1")
    assert not set(other) & set(ids)


# Annotation cases


def test_annotation_inputs_hide_label_donor_and_batch_of_test_cells_only(
    atlas: "AnnData", atlas_case: Case
) -> None:
    inputs, truth = atlas_case.inputs, atlas_case.truth.set_index("cell_id")
    is_test = (inputs.obs["role"] == "test").to_numpy()
    hidden = inputs.obs[["cell_type", "donor_id", "batch"]]
    assert is_test.sum() == len(truth)
    assert hidden[is_test].isna().all(axis=None)
    assert hidden[~is_test].notna().all(axis=None)
    assert set(inputs.obs.columns) == {"role", "cell_type", "donor_id", "batch"}
    assert not set(inputs.obs["donor_id"].cat.categories) & set(truth["unit"])
    assert set(inputs.obs_names).isdisjoint(atlas.obs_names)


def test_annotation_truth_names_every_test_cell_with_its_own_label_donor_and_counts(
    atlas: "AnnData", atlas_case: Case, atlas_roles: pd.DataFrame
) -> None:
    truth = atlas_case.truth
    real = atlas[truth["real_cell_id"].to_numpy()]
    fold = atlas_roles[atlas_roles["fold"] == 0]
    assert set(truth["real_cell_id"]) == set(fold.loc[fold["role"] == "test", "cell_id"])
    assert truth["label"].tolist() == labelled(real).tolist()
    assert truth["unit"].tolist() == real.obs["donor_id"].tolist()
    shown = atlas_case.inputs[truth["cell_id"].to_numpy()]
    assert (shown.X != real.X).nnz == 0


def test_annotation_inputs_show_training_cells_as_they_are(
    atlas: "AnnData", atlas_case: Case, atlas_board: Board, atlas_roles: pd.DataFrame
) -> None:
    ids = opaque_ids(atlas.obs_names, f"test/{atlas_board.id}/0")
    assert list(atlas_case.inputs.obs_names) == list(ids)
    real, shown = atlas[ids.index], atlas_case.inputs
    is_test = (shown.obs["role"] == "test").to_numpy()
    assert (shown.X != real.X).nnz == 0
    assert (
        shown.obs["cell_type"].astype(str)[~is_test].tolist() == labelled(real)[~is_test].tolist()
    )
    fold = atlas_roles[atlas_roles["fold"] == 0].set_index("cell_id")["role"]
    assert shown.obs["role"].tolist() == fold[ids.index].tolist()


def test_cells_without_a_label_are_left_out_of_the_case(
    atlas: "AnnData", atlas_board: Board, atlas_roles: pd.DataFrame
) -> None:
    adata = atlas.copy()
    unlabelled = adata.obs_names[::7]
    adata.obs.loc[unlabelled, "cell_type"] = None
    case = build_case(adata, atlas_roles, atlas_board, 0, "test")
    assert case.inputs.n_obs == adata.n_obs - len(unlabelled)
    assert not set(case.truth["real_cell_id"]) & set(unlabelled)


def with_extras(adata: "AnnData") -> "AnnData":
    """Add a leak to every place that an AnnData has for one."""
    adata = adata.copy()
    n = adata.n_obs
    adata.obs["secret"] = "x"
    adata.obsm["secret"] = np.zeros((n, 2))
    adata.obsp["secret"] = sp.identity(n, format="csr")
    adata.layers["secret"] = adata.X.copy()
    adata.uns["secret"] = "x"
    adata.raw = adata.copy()
    return adata


@pytest.mark.parametrize("place", ["obs", "obsm", "obsp", "layers", "uns", "raw"])
@pytest.mark.parametrize("kind", ["annotation", "perturbation"])
def test_inputs_carry_nothing_beyond_counts_and_the_whitelist(
    request: pytest.FixtureRequest, kind: str, place: str
) -> None:
    name = {"annotation": "atlas", "perturbation": "screen"}[kind]
    adata = with_extras(request.getfixturevalue(name))
    roles, board = (request.getfixturevalue(f"{name}_{w}") for w in ("roles", "board"))
    inputs = build_case(adata, roles, board, 0, "test").inputs
    if place == "raw":
        assert inputs.raw is None
    else:
        assert "secret" not in getattr(inputs, place)


def test_a_case_does_not_change_the_dataset(
    atlas: "AnnData", atlas_board: Board, atlas_roles: pd.DataFrame
) -> None:
    before = atlas.copy()
    build_case(atlas, atlas_roles, atlas_board, 1, "test")
    pd.testing.assert_frame_equal(atlas.obs, before.obs)
    assert (atlas.X != before.X).nnz == 0


@pytest.mark.parametrize("kind", ["atlas", "screen"])
def test_the_order_of_cells_in_a_dataset_does_not_move_a_case(
    request: pytest.FixtureRequest, kind: str
) -> None:
    adata, roles, board, case = (
        request.getfixturevalue(f"{kind}{part}") for part in ("", "_roles", "_board", "_case")
    )
    order = np.random.default_rng(5).permutation(adata.n_obs)
    other = build_case(adata[order].copy(), roles, board, 0, "test")
    pd.testing.assert_frame_equal(other.inputs.obs, case.inputs.obs)
    assert (other.inputs.X != case.inputs.X).nnz == 0
    pd.testing.assert_frame_equal(other.truth, case.truth)
    if case.moments is not None:
        assert other.moments is not None
        assert other.groups is not None
        pd.testing.assert_frame_equal(other.groups, case.groups)
        pd.testing.assert_frame_equal(other.moments, case.moments, rtol=1e-10)


# Perturbation cases


def test_perturbation_inputs_hold_no_scored_cell(
    screen: "AnnData", screen_case: Case, screen_roles: pd.DataFrame
) -> None:
    inputs, truth = screen_case.inputs, screen_case.truth
    assert set(inputs.obs["role"]) == {"train", "validation", "control_input"}
    assert set(truth["role"]) == {"test", "control_truth"}
    assert not set(inputs.obs_names) & set(truth["cell_id"])
    assert set(inputs.obs_names).isdisjoint(screen.obs_names)
    tested = set(truth.loc[truth["role"] == "test", "perturbation"])
    assert not tested & set(inputs.obs["perturbation"])
    fold = screen_roles[screen_roles["fold"] == 0]
    assert inputs.n_obs + len(truth) == len(fold)


def test_perturbation_truth_matches_the_dataset(screen: "AnnData", screen_case: Case) -> None:
    truth, counts = screen_case.truth, screen_case.truth_counts
    assert counts is not None
    real = screen[truth["real_cell_id"].to_numpy()]
    assert truth["perturbation"].tolist() == real.obs["perturbation"].tolist()
    assert truth["context"].tolist() == real.obs["cell_type"].tolist()
    assert list(counts.obs_names) == truth["cell_id"].tolist()
    assert (counts.X != real.X).nnz == 0
    is_test = (truth["role"] == "test").to_numpy()
    assert truth["unit"][is_test].tolist() == real.obs["perturbation"][is_test].tolist()
    assert set(truth["perturbation"][~is_test]) == {CONTROL}


def test_queries_ask_for_every_test_pair_once(screen_case: Case) -> None:
    assert screen_case.queries is not None
    truth = screen_case.truth[screen_case.truth["role"] == "test"]
    asked = set(screen_case.queries.itertuples(index=False, name=None))
    assert asked == set(zip(truth["perturbation"], truth["context"], strict=True))
    assert len(asked) == len(screen_case.queries)


def test_the_target_sum_is_the_median_total_of_the_input_controls(
    screen: "AnnData", screen_case: Case, screen_roles: pd.DataFrame
) -> None:
    fold = screen_roles[screen_roles["fold"] == 0]
    cells = fold.loc[fold["role"] == "control_input", "cell_id"].to_numpy()
    expected = np.median(screen[cells].X.toarray().sum(axis=1))
    assert screen_case.inputs.uns["target_sum"] == pytest.approx(expected)


def test_the_moments_of_a_case_equal_dense_numpy(
    screen: "AnnData", screen_case: Case, screen_roles: pd.DataFrame
) -> None:
    assert screen_case.groups is not None
    assert screen_case.moments is not None
    values = dense_cells(screen, screen_case.inputs.uns["target_sum"])
    role = screen_roles[screen_roles["fold"] == 0].set_index("cell_id")["role"]
    role = role.replace("validation", "train").reindex(screen.obs_names)
    for k, group in enumerate(screen_case.groups.itertuples()):
        chosen = (
            (role == group.role)
            & (screen.obs["perturbation"] == group.perturbation)
            & (screen.obs["cell_type"] == group.context)
        ).to_numpy()
        assert group.n == chosen.sum()
        cells = values[chosen]
        np.testing.assert_allclose(screen_case.moments[f"mean:{k}"], cells.mean(axis=0), rtol=1e-9)
        np.testing.assert_allclose(
            screen_case.moments[f"variance:{k}"], cells.var(axis=0, ddof=1), atol=1e-10
        )


def test_the_targets_of_the_panel_are_removed_from_what_is_scored(screen_case: Case) -> None:
    moments = scored_moments(screen_case)
    assert screen_case.moments is not None
    assert set(screen_case.moments["gene"]) - set(moments.genes) == set(SINGLES)
    assert moments.mean.shape == (len(moments.role), N_GENES - len(SINGLES))
    row = moments.rows("test")[0]
    key = (str(moments.perturbation[row]), str(moments.context[row]))
    part = unit_parts(moments, {key: np.zeros(len(moments.genes))}, [row])[0]
    assert len(part.truth) == len(part.weight) == N_GENES - len(SINGLES)


def test_every_unit_is_scored_from_its_own_profile_controls_and_fold(screen_case: Case) -> None:
    moments = scored_moments(screen_case)
    for unit, rows in moments.units().items():
        said = {(unit, str(moments.context[r])): moments.mean[r] + 1 for r in rows}
        for row, part in zip(rows, unit_parts(moments, said, rows), strict=True):
            context = str(moments.context[row])
            np.testing.assert_array_equal(part.truth, moments.mean[row])
            np.testing.assert_array_equal(part.predicted, moments.mean[row] + 1)
            np.testing.assert_array_equal(
                part.control_input, moments.control("control_input", context)
            )
            np.testing.assert_array_equal(
                part.control_truth, moments.control("control_truth", context)
            )
            others = moments.rows("test", context)
            np.testing.assert_array_equal(part.other_truths, moments.mean[others])
            assert part.own == others.index(row)


def test_a_shift_within_the_rounding_of_float32_is_no_shift(screen_case: Case) -> None:
    moments = scored_moments(screen_case)
    row = moments.rows("test")[0]
    key = (str(moments.perturbation[row]), str(moments.context[row]))
    control = moments.control("control_input", key[1])
    rounded = control.astype(np.float32).astype(np.float64)
    part = unit_parts(moments, {key: rounded}, [row])[0]
    np.testing.assert_array_equal(part.predicted, part.control_input)
