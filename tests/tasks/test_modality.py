"""Modality boards: the unit of proteins, what is hidden, and which answers are refused."""

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from leaderboard.cases import build_case
from leaderboard.config import Params, read_params
from leaderboard.errors import ConfigError, PredictionError
from leaderboard.spec import Board, BoardLine, Case
from leaderboard.tasks import TASKS
from leaderboard.tasks._modality import centred_log_ratio, proteins_of
from tests.conftest import PROTEINS
from tests.tasks._proteins import counted, perfect

if TYPE_CHECKING:
    from anndata import AnnData

TASK = TASKS["modality_prediction"]


# The unit of the proteins


def test_the_ratio_is_centred_on_the_geometric_mean_of_the_cell() -> None:
    counts = np.array([[0.0, 1.0, 10.0, 100.0], [0.0, 0.0, 0.0, 0.0]])
    centre = stats.gmean(counts[0] + 1)
    expected = np.log1p(counts[0] / centre)
    np.testing.assert_allclose(centred_log_ratio(counts)[0], expected, rtol=1e-12)
    np.testing.assert_array_equal(centred_log_ratio(counts)[1], 0.0)


def test_the_ratio_of_a_cell_depends_on_no_other_cell() -> None:
    counts = np.random.default_rng(0).poisson(20, (30, 6)).astype(float)
    alone = np.vstack([centred_log_ratio(row[None]) for row in counts])
    np.testing.assert_array_equal(centred_log_ratio(counts), alone)


def test_models_and_scores_see_the_unit_that_the_line_declares(
    proteins: "AnnData", proteins_board: Board, proteins_roles: pd.DataFrame
) -> None:
    board, adata = replace(proteins_board, protein_unit="clr"), counted(proteins)
    case = build_case(adata, proteins_roles, board, 0, "test")
    expected = pd.DataFrame(
        centred_log_ratio(adata.obsm["protein"]).astype(np.float32), index=adata.obs_names
    )
    assert case.groups is not None
    true = case.groups[[f"true:{name}" for name in PROTEINS]].to_numpy()
    np.testing.assert_array_equal(true, expected.loc[case.truth["real_cell_id"]])
    shown = case.inputs.obsm["protein"][(case.inputs.obs["role"] != "test").to_numpy()]
    both = np.vstack([shown, true])
    np.testing.assert_array_equal(np.sort(both, axis=0), np.sort(expected.to_numpy(), axis=0))
    assert case.inputs.uns["protein_unit"] == "clr"


@pytest.mark.parametrize(
    ("unit", "held", "told"),
    [
        ("clr", "log units", "holds no counts. Write `protein_unit: log`"),
        ("log", "counts", "holds counts. Write `protein_unit: clr`"),
        ("", "log units", "`protein_unit` is ''"),
        ("", "counts", "Write `protein_unit: clr`"),
    ],
)
def test_a_line_whose_unit_the_values_cannot_have_is_refused(
    proteins: "AnnData", proteins_board: Board, unit: Any, held: str, told: str
) -> None:
    adata = counted(proteins) if held == "counts" else proteins
    with pytest.raises(ConfigError, match=told):
        proteins_of(adata, replace(proteins_board, protein_unit=unit))


def test_an_unknown_unit_is_refused_where_the_file_is_read() -> None:
    line = {"task": TASK.name, "split": "donor", "unit": "donor_id", "protein_unit": "tpm"}
    fields = {
        "release": "r", "threads": 1, "seeds": [0], "tiers": {"default": {}},
        "folds": {"seed": 1, "k": 5, "validation_fraction": 0.1},
    }  # fmt: skip
    with pytest.raises(ValueError, match="protein_unit"):
        Params.model_validate({**fields, "boards": {"d": [line]}})
    checked = Params.model_validate({**fields, "boards": {"d": [line | {"protein_unit": "clr"}]}})
    assert checked.boards["d"][0] == BoardLine(**(line | {"protein_unit": "clr"}))  # type: ignore[arg-type]


def without_proteins(adata: "AnnData") -> None:
    del adata.obsm["protein"]


def with_a_name_twice(adata: "AnnData") -> None:
    adata.uns["protein_names"] = np.array(["P1", "P1", "P2", "P3", "P4"])


def with_a_hole(adata: "AnnData") -> None:
    adata.obsm["protein"][3, 2] = np.nan


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (without_proteins, "tiny has no obsm protein"),
        (with_a_name_twice, "5 proteins have 4 different names"),
        (with_a_hole, "not finite"),
    ],
)
def test_a_dataset_without_sound_proteins_is_refused(
    proteins: "AnnData", proteins_board: Board, spoil: Callable[["AnnData"], None], told: str
) -> None:
    adata = proteins.copy()
    spoil(adata)
    with pytest.raises(ConfigError, match=told):
        proteins_of(adata, proteins_board)


def test_every_modality_board_of_the_tree_declares_a_unit(in_root: Any) -> None:
    assert in_root.is_dir()
    boards = [b for b in read_params().all_boards().values() if b.task == TASK.name]
    assert {b.dataset: b.protein_unit for b in boards} == {"sim_atlas": "log", "bmmc_cite": "clr"}


# What is hidden


def test_no_protein_of_a_test_cell_is_anywhere_in_the_inputs(
    proteins: "AnnData", proteins_case: Case
) -> None:
    inputs = proteins_case.inputs
    real = proteins[proteins_case.truth["real_cell_id"]]
    hidden = {
        *real.obsm["protein"].astype(np.float64).ravel(),
        *real.obsm["protein_mean"].astype(np.float64)[:, :-1].ravel(),
    }
    fitted = (inputs.obs["role"] != "test").to_numpy()
    assert np.isnan(inputs.obsm["protein"][~fitted]).all()
    assert set(inputs.obsm) == {"protein"}
    assert set(inputs.uns) == {"protein_names", "protein_unit"}
    assert not inputs.layers
    assert not inputs.obsp
    assert not inputs.varm
    assert inputs.raw is None
    assert list(inputs.var.columns) == []
    # Counts are whole numbers and no protein is one, so no value may meet.
    shown = [inputs.X.data, inputs.obsm["protein"][fitted].ravel()]
    numbers = inputs.obs.select_dtypes("number").to_numpy().ravel()
    assert not hidden & set(np.concatenate([*shown, numbers]).astype(np.float64))


def test_inputs_hide_label_donor_and_batch_of_test_cells_only(
    proteins: "AnnData", proteins_case: Case
) -> None:
    obs = proteins_case.inputs.obs
    is_test = (obs["role"] == "test").to_numpy()
    for column in ("cell_type", "donor_id", "batch"):
        assert obs.loc[is_test, column].isna().all()
        assert obs.loc[~is_test, column].notna().all()
    assert set(obs.columns) == {"role", "cell_type", "donor_id", "batch"}
    assert not set(obs.index) & set(proteins.obs_names)
    assert is_test.sum() == len(proteins_case.truth) > 0


def test_truth_holds_every_test_cell_with_its_unit_type_and_proteins(
    proteins: "AnnData", proteins_case: Case, proteins_roles: pd.DataFrame
) -> None:
    truth, groups = proteins_case.truth, proteins_case.groups
    assert groups is not None
    rows = proteins_roles[proteins_roles["fold"] == 0]
    assert set(truth["real_cell_id"]) == set(rows.loc[rows["role"] == "test", "cell_id"])
    real = proteins[truth["real_cell_id"]]
    assert list(truth["unit"]) == list(real.obs["donor_id"])
    assert list(truth["label"]) == list(real.obs["cell_type"])
    assert list(groups["cell_id"]) == list(truth["cell_id"])
    for prefix, key in (("true:", "protein"), ("mean:", "protein_mean")):
        found = groups[[f"{prefix}{name}" for name in PROTEINS]]
        assert set(found.dtypes) == {np.dtype(np.float32)}
        np.testing.assert_array_equal(found, real.obsm[key])


def test_real_data_has_no_noise_free_proteins_and_may_lack_types(
    proteins: "AnnData", proteins_board: Board, proteins_roles: pd.DataFrame
) -> None:
    adata = proteins.copy()
    del adata.obsm["protein_mean"]
    adata.obs["cell_type"] = adata.obs["cell_type"].where(adata.obs["cell_type"] != "C")
    case = build_case(adata, proteins_roles, proteins_board, 0, "test")
    assert case.groups is not None
    assert list(case.groups.columns) == ["cell_id", *(f"true:{name}" for name in PROTEINS)]
    assert set(case.truth["label"]) == {"A", "B", ""}
    assert set(case.inputs.obs["cell_type"].dropna()) == {"A", "B"}
    del adata.obs["cell_type"]
    case = build_case(adata, proteins_roles, proteins_board, 0, "test")
    assert set(case.truth["label"]) == {""}


def test_the_order_of_cells_in_a_dataset_does_not_move_a_case(
    proteins: "AnnData", proteins_board: Board, proteins_roles: pd.DataFrame, proteins_case: Case
) -> None:
    order = np.random.default_rng(5).permutation(proteins.n_obs)
    other = build_case(proteins[order].copy(), proteins_roles, proteins_board, 0, "test")
    pd.testing.assert_frame_equal(other.inputs.obs, proteins_case.inputs.obs)
    assert (other.inputs.X != proteins_case.inputs.X).nnz == 0
    np.testing.assert_array_equal(
        other.inputs.obsm["protein"], proteins_case.inputs.obsm["protein"]
    )
    pd.testing.assert_frame_equal(other.truth, proteins_case.truth)
    assert proteins_case.groups is not None
    assert other.groups is not None
    pd.testing.assert_frame_equal(other.groups, proteins_case.groups)


# What is refused

BAD: dict[str, tuple[Callable[[pd.DataFrame], pd.DataFrame], str]] = {
    "a cell is missing": (lambda t: t.iloc[1:], "1 of .* missing, first cell_id="),
    "a cell is there twice": (lambda t: pd.concat([t, t.iloc[:1]]), "1 duplicated row"),
    "a cell was not asked for": (
        lambda t: pd.concat([t, t.iloc[:1].assign(cell_id="z")]),
        "not asked for, first cell_id=z",
    ),
    "a protein is missing": (lambda t: t.drop(columns="P1"), r"missing \['P1'\]"),
    "a protein too many": (lambda t: t.assign(CD3=1.0), r"not on it \['CD3'\]"),
    "a protein is there twice": (lambda t: pd.concat([t, t[["P1"]]], axis=1), "once each"),
    "text": (lambda t: t.assign(P2="high"), "hold no numbers, first P2"),
    "NaN": (lambda t: t.assign(P3=np.nan), "hold NaN or infinity, first cell"),
    "infinity": (lambda t: t.assign(P3=np.inf), "hold NaN or infinity"),
    "too large for float32": (lambda t: t.assign(P3=1e39), "hold NaN or infinity"),
    "ids that are numbers": (lambda t: t.assign(cell_id=range(len(t))), "cell_id"),
}


@pytest.mark.parametrize("fault", list(BAD))
def test_a_wrong_prediction_is_refused_with_the_reason(proteins_case: Case, fault: str) -> None:
    spoil, told = BAD[fault]
    with pytest.raises(PredictionError, match=told):
        TASK.check_prediction(
            spoil(perfect(proteins_case)), proteins_case.truth[["cell_id"]], PROTEINS
        )


def test_a_right_prediction_passes_in_any_order_of_rows_and_columns(proteins_case: Case) -> None:
    table = perfect(proteins_case).sample(frac=1, random_state=0).sample(frac=1, axis=1)
    TASK.check_prediction(table, proteins_case.truth[["cell_id"]], PROTEINS)
