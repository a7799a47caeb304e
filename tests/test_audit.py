"""The audit catches planted leaks by the right check, and finds nothing on clean cases."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

from leaderboard import layout
from leaderboard.audit import (
    BOARD_CHECKS,
    CHECKS,
    Finding,
    FoldFiles,
    audit_dataset,
    find_copies,
)
from leaderboard.audit._record import ALL_FOLDS
from leaderboard.cases import build_case, split_name
from leaderboard.io import write_h5ad, write_json, write_parquet
from leaderboard.spec import Board, Case

if TYPE_CHECKING:
    from anndata import AnnData


def files_of(board: Board, roles: pd.DataFrame, adata: "AnnData", case: Case) -> FoldFiles:
    rows = roles.loc[roles["fold"] == 0, ["cell_id", "role"]]
    return FoldFiles(
        board=board, fold=0, roles=rows, obs=adata.obs, inputs=case.inputs.copy(),
        truth=case.truth.copy(), copies=find_copies(adata.X, adata.obs_names, adata.var_names),
    )  # fmt: skip


@pytest.fixture
def annotation(
    atlas: "AnnData", atlas_roles: pd.DataFrame, atlas_board: Board, atlas_case: Case
) -> FoldFiles:
    return files_of(atlas_board, atlas_roles, atlas, atlas_case)


@pytest.fixture
def perturbation(
    screen: "AnnData", screen_roles: pd.DataFrame, screen_board: Board, screen_case: Case
) -> FoldFiles:
    return files_of(screen_board, screen_roles, screen, screen_case)


@pytest.fixture
def modality(
    proteins: "AnnData", proteins_roles: pd.DataFrame, proteins_board: Board, proteins_case: Case
) -> FoldFiles:
    return files_of(proteins_board, proteins_roles, proteins, proteins_case)


def audit(files: FoldFiles) -> list[Finding]:
    return [finding for check in CHECKS.values() for finding in check(files)]


def errors(files: FoldFiles) -> dict[str, Finding]:
    """Return the errors by check."""
    return {f.check: f for f in audit(files) if f.severity == "error"}


@pytest.mark.parametrize("kind", ["annotation", "perturbation", "modality"])
def test_a_clean_case_has_findings_and_none_is_an_error(
    request: pytest.FixtureRequest, kind: str
) -> None:
    files: FoldFiles = request.getfixturevalue(kind)
    found = audit(files)
    assert {f.severity for f in found} == {"ok"}
    assert all((f.board, f.fold, f.n, f.ids) == (files.board.id, 0, 0, ()) for f in found)
    of_other_boards = {
        "annotation": {"controls", "combinations", "size"},
        "perturbation": {"confounding", "guesses"},
        "modality": {"controls", "combinations", "size", "confounding"},
    }
    assert {f.check for f in found} == set(CHECKS) - of_other_boards[kind]


def move(files: FoldFiles, old: str, new: str, n: int = 1) -> FoldFiles:
    """Give the first cells of a role another one in the split, but not in the case."""
    roles = files.roles.copy()
    roles.loc[roles.index[roles["role"] == old][:n], "role"] = new
    return replace(files, roles=roles)


def test_a_donor_on_both_sides_is_caught_by_the_groups_check(annotation: FoldFiles) -> None:
    found = errors(move(annotation, "test", "train"))
    donor = annotation.truth["unit"].iloc[0]
    assert found["groups"].ids == (donor,)
    assert "donor_id in both train and test" in found["groups"].message


def test_a_donor_in_training_and_validation_is_caught(annotation: FoldFiles) -> None:
    found = errors(move(annotation, "validation", "train"))
    assert "donor_id in both train and validation" in found["groups"].message


def test_a_perturbation_on_both_sides_is_caught(perturbation: FoldFiles) -> None:
    found = errors(move(perturbation, "train", "test"))
    assert "perturbation in both train and test" in found["groups"].message


def test_a_cell_with_two_roles_is_caught_by_the_roles_check(annotation: FoldFiles) -> None:
    row = annotation.roles[annotation.roles["role"] == "train"].head(1)
    roles = pd.concat([annotation.roles, row.assign(role="validation")])
    found = errors(replace(annotation, roles=roles))["roles"]
    assert found.ids == (row["cell_id"].iloc[0],)
    assert found.message == "1 cell(s) with two roles"


def test_a_cell_that_the_dataset_does_not_hold_is_an_error_and_not_a_crash(
    annotation: FoldFiles,
) -> None:
    row = pd.DataFrame({"cell_id": ["ghost"], "role": ["train"]})
    found = errors(replace(annotation, roles=pd.concat([annotation.roles, row])))["roles"]
    assert (found.ids, found.message) == (("ghost",), "1 cell(s) that the dataset does not hold")


@pytest.mark.parametrize("role", ["validation", "test"])
def test_an_empty_role_is_caught(annotation: FoldFiles, role: str) -> None:
    roles = annotation.roles[annotation.roles["role"] != role]
    assert errors(replace(annotation, roles=roles))["roles"].ids == (role,)


def test_a_board_without_the_truth_half_of_controls_is_caught(perturbation: FoldFiles) -> None:
    roles = perturbation.roles[perturbation.roles["role"] != "control_truth"]
    assert errors(replace(perturbation, roles=roles))["roles"].ids == ("control_truth",)


def test_a_control_cell_in_training_is_caught_by_the_controls_check(
    perturbation: FoldFiles,
) -> None:
    found = errors(move(perturbation, "control_input", "train"))["controls"]
    assert found.n == 1
    assert found.ids[0].startswith("control-")


def test_a_perturbed_cell_among_the_controls_is_caught(perturbation: FoldFiles) -> None:
    found = errors(move(perturbation, "train", "control_input"))["controls"]
    assert found.n == 1
    assert found.ids[0].startswith("G")


@pytest.mark.parametrize("role", ["control_truth", "test"])
def test_a_scored_cell_among_the_inputs_is_caught(perturbation: FoldFiles, role: str) -> None:
    leaked = perturbation.truth.loc[perturbation.truth["role"] == role, "cell_id"].iloc[0]
    inputs = perturbation.inputs
    names = sorted([leaked, *inputs.obs_names[1:]])
    inputs.obs_names = pd.Index(names)
    found = errors(replace(perturbation, inputs=inputs))["controls"]
    assert (found.ids, found.message) == ((leaked,), "1 scored cell(s) among the inputs")


def test_real_ids_are_caught_by_the_identifiers_check(annotation: FoldFiles) -> None:
    inputs = annotation.inputs
    inputs.obs_names = pd.Index(sorted(annotation.obs.index[: inputs.n_obs]))
    found = errors(replace(annotation, inputs=inputs))["identifiers"]
    assert found.n == inputs.n_obs
    assert len(found.ids) == 20
    assert found.message.endswith("id(s) that are not opaque")


def test_real_ids_that_look_opaque_are_caught_too(annotation: FoldFiles) -> None:
    obs = annotation.obs.rename({annotation.obs.index[0]: annotation.inputs.obs_names[3]})
    found = [
        finding
        for finding in CHECKS["identifiers"](replace(annotation, obs=obs))
        if finding.severity == "error"
    ]
    assert [f.ids for f in found] == [(annotation.inputs.obs_names[3],)]


def test_one_id_with_a_label_in_it_is_caught(perturbation: FoldFiles) -> None:
    names = list(perturbation.inputs.obs_names)
    names[-1] = f"{names[-1]}-b_cells"
    perturbation.inputs.obs_names = pd.Index(names)
    assert errors(perturbation)["identifiers"].ids == (names[-1],)


def test_a_telling_order_of_rows_is_caught(annotation: FoldFiles) -> None:
    order = np.argsort(annotation.inputs.obs["role"].astype(str), kind="stable")
    found = errors(replace(annotation, inputs=annotation.inputs[order].copy()))["identifiers"]
    assert found.ids == ("order",)


Plant = Callable[["AnnData"], None]


def plant_column(inputs: "AnnData") -> None:
    inputs.obs["cell_type_source"] = "author"


def plant_obsm(inputs: "AnnData") -> None:
    inputs.obsm["X_umap"] = np.zeros((inputs.n_obs, 2))


def plant_layer(inputs: "AnnData") -> None:
    inputs.layers["spliced"] = inputs.X.copy()


def plant_obsp(inputs: "AnnData") -> None:
    inputs.obsp["distances"] = sp.identity(inputs.n_obs, format="csr")


def plant_raw(inputs: "AnnData") -> None:
    inputs.raw = inputs.copy()


def plant_uns(inputs: "AnnData") -> None:
    inputs.uns["cell_type_of"] = {"a": "B"}


@pytest.mark.parametrize(
    ("plant", "name"),
    [
        (plant_column, "cell_type_source"),
        (plant_obsm, "X_umap"),
        (plant_layer, "spliced"),
        (plant_obsp, "distances"),
        (plant_raw, "raw"),
        (plant_uns, "cell_type_of"),
    ],
)
@pytest.mark.parametrize("kind", ["annotation", "perturbation", "modality"])
def test_what_inputs_should_not_hold_is_caught(
    request: pytest.FixtureRequest, kind: str, plant: Plant, name: str
) -> None:
    files: FoldFiles = request.getfixturevalue(kind)
    plant(files.inputs)
    found = errors(files)
    assert "identifiers" in found
    assert name in " ".join(found["identifiers"].ids)


@pytest.mark.parametrize("column", ["cell_type", "donor_id", "batch"])
def test_a_test_cells_label_or_group_is_caught_by_the_labels_check(
    annotation: FoldFiles, column: str
) -> None:
    obs = annotation.inputs.obs
    at = obs.index[obs["role"] == "test"][0]
    obs.loc[at, column] = obs[column].cat.categories[0]
    found = errors(annotation)["labels"]
    assert found.ids == (column,)


def test_one_protein_of_one_test_cell_is_caught_by_the_labels_check(modality: FoldFiles) -> None:
    row = np.flatnonzero(modality.inputs.obs["role"] == "test")[3]
    modality.inputs.obsm["protein"][row, 2] = 0.0
    found = errors(modality)
    assert set(found) == {"labels"}
    assert found["labels"].ids == ("obsm:protein",)


def test_a_table_that_only_modality_inputs_may_hold_is_caught_elsewhere(
    annotation: FoldFiles,
) -> None:
    annotation.inputs.obsm["protein"] = np.full((annotation.inputs.n_obs, 2), np.nan)
    assert errors(annotation)["identifiers"].ids == ("obsm:protein",)


def test_a_test_cell_that_truth_lacks_is_caught(annotation: FoldFiles) -> None:
    lost = annotation.truth["real_cell_id"].iloc[0]
    found = errors(replace(annotation, truth=annotation.truth.iloc[1:]))["labels"]
    assert found.ids == (lost,)


def test_a_truth_with_a_training_cell_is_caught(perturbation: FoldFiles) -> None:
    truth = perturbation.truth
    trained = perturbation.roles.loc[perturbation.roles["role"] == "train", "cell_id"].iloc[0]
    more = pd.concat([truth, truth.tail(1).assign(real_cell_id=trained, role="test")])
    assert trained in errors(replace(perturbation, truth=more))["labels"].ids


def test_unlabelled_test_cells_are_no_disagreement(
    atlas: "AnnData", atlas_roles: pd.DataFrame, atlas_board: Board
) -> None:
    adata = atlas.copy()
    adata.obs.loc[adata.obs_names[::7], "cell_type"] = None
    case = build_case(adata, atlas_roles, atlas_board, 0, "test")
    assert errors(files_of(atlas_board, atlas_roles, adata, case)) == {}


def test_a_random_split_holds_out_no_group(annotation: FoldFiles, atlas_board: Board) -> None:
    board = replace(atlas_board, split="random", matches="donor")
    found = errors(move(replace(annotation, board=board), "test", "train"))
    assert "groups" not in found


def test_the_files_of_a_dataset_are_audited_fold_by_fold(
    in_folder: Path, atlas: "AnnData", atlas_roles: pd.DataFrame, atlas_board: Board
) -> None:
    suite, dataset = "known_truth", atlas_board.dataset
    write_h5ad(layout.clean(suite, dataset), atlas.copy())
    at = layout.splits(suite, dataset) / f"{split_name(atlas_board)}.parquet"
    write_parquet(at, atlas_roles)
    for fold in range(6):
        case = build_case(atlas, atlas_roles, atlas_board, fold, "test")
        folder = Path(atlas_board.id) / layout.fold_name(fold)
        write_h5ad(layout.cases(suite, dataset) / folder / "inputs.h5ad", case.inputs)
        write_parquet(layout.truth(suite, dataset) / folder / "truth.parquet", case.truth)
    found = audit_dataset(suite, dataset, [atlas_board], "library")
    assert {f["fold"] for f in found} == {ALL_FOLDS, *range(6)}
    assert {f["check"] for f in found if f["fold"] == ALL_FOLDS} == set(BOARD_CHECKS)
    assert {f["severity"] for f in found} == {"ok"}
    write_json(in_folder / "audit.json", found)

    leaked = atlas_roles.copy()
    leaked.loc[leaked.index[(leaked["fold"] == 4) & (leaked["role"] == "test")][0], "role"] = (
        "train"
    )
    write_parquet(at, leaked)
    again = audit_dataset(suite, dataset, [atlas_board], "library")
    bad = [f for f in again if f["severity"] == "error"]
    assert {(f["check"], f["fold"]) for f in bad} == {
        ("groups", 4), ("labels", 4), ("cover", ALL_FOLDS),
    }  # fmt: skip
