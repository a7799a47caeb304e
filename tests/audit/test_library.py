"""The audit of libraries: what is sequenced apart can be told apart without any biology."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy.stats import chi2_contingency
from scipy.stats.contingency import association

from leaderboard.audit import BOARD_CHECKS, BoardFiles, Finding
from leaderboard.audit._library import cramers_v
from leaderboard.audit._record import ALL_FOLDS
from leaderboard.cases import draw
from leaderboard.spec import Board
from tests.splits._obs import RULE, annotation_board, make_obs, perturbation_board

TYPES = ("A", "B", "C")
OF_LABELS = ("library", "association")


def crossed(seed: int = 0) -> pd.DataFrame:
    """600 cells; types, libraries, batches and donors are dealt apart from one another."""
    obs = make_obs(6, seed)
    dealt = np.random.default_rng(seed + 100).permutation(np.resize(TYPES, len(obs)))
    return obs.assign(cell_type=dealt)


def files_of(obs: pd.DataFrame, board: Board, library: str = "library") -> BoardFiles:
    roles, _ = draw(obs, board, RULE)
    return BoardFiles(board=board, roles=roles, obs=obs, library=library)


def found(files: BoardFiles, check: str, severity: str) -> list[Finding]:
    return [f for f in BOARD_CHECKS[check](files) if f.severity == severity]


def raised(files: BoardFiles) -> dict[str, set[str]]:
    """Return the severities beyond ok, by check."""
    rows = [f for check in BOARD_CHECKS.values() for f in check(files) if f.severity != "ok"]
    return {f.check: {g.severity for g in rows if g.check == f.check} for f in rows}


@pytest.mark.parametrize(
    "board",
    [
        annotation_board("donor"),
        annotation_board("random", matches="donor"),
        replace(annotation_board("whole", unit="batch"), task="batch_integration"),
        replace(perturbation_board("perturbation"), task="perturbation_prediction"),
    ],
    ids=lambda b: b.id,
)
def test_labels_that_are_spread_over_libraries_raise_nothing(board: Board) -> None:
    files = files_of(crossed(), board)
    assert raised(files) == {}
    without = {"cover"} if board.split == "perturbation" else set()
    assert {f.check for c in BOARD_CHECKS.values() for f in c(files)} == set(BOARD_CHECKS) - without
    assert {f.fold for c in BOARD_CHECKS.values() for f in c(files)} == {ALL_FOLDS}


@pytest.mark.parametrize("line", [{"split": "donor"}, {"split": "random", "matches": "donor"}])
def test_label_equal_to_library_is_an_error_on_annotation_boards(line: dict[str, str]) -> None:
    obs = crossed()
    files = files_of(obs.assign(library="run-" + obs["cell_type"]), annotation_board(**line))
    (error,) = found(files, "library", "error")
    assert error.ids == ("run-A", "run-B", "run-C")
    assert error.message == "3 libraries, and none holds two labels"
    (v,) = found(files, "association", "warning")
    assert v.ids == ("cell_type x library",)
    assert "is 1.00 over 600 cells (3 x 3 values)" in v.message


def test_label_equal_to_library_is_found_where_every_label_is_new_to_its_fold_too() -> None:
    obs = crossed()
    obs = obs.assign(library=obs["cell_type"], batch=obs["cell_type"])
    files = files_of(obs, annotation_board("batch", unit="batch"), "batch")
    assert found(files, "library", "error")[0].n == 3


def test_perturbation_equal_to_library_is_a_warning() -> None:
    obs = crossed()
    is_control = obs["perturbation"] == "control"
    obs["library"] = np.where(is_control, "ctrl", "stim")
    obs["perturbation"] = np.where(is_control, "control", "IFNB1")
    board = replace(perturbation_board("donor"), task="perturbation_prediction")
    files = files_of(obs, board)
    assert raised(files) == {"library": {"warning"}, "association": {"warning"}}
    (v,) = found(files, "association", "warning")
    assert v.message.startswith("Cramer's V of perturbation and library is 1.00 over 600 cells")


def with_label_of_one_library(n: int) -> pd.DataFrame:
    """Rename ``n`` cells of one library, over all donors, to a type of their own."""
    obs = crossed()
    cells = obs.index[obs["library"] == "library0"][:n]
    obs.loc[cells, "cell_type"] = "rare"
    assert len(obs.loc[cells, "donor_id"].unique()) == 6
    return obs


def test_a_type_that_one_of_many_libraries_holds_is_an_error() -> None:
    files = files_of(with_label_of_one_library(20), annotation_board("donor"))
    (error,) = found(files, "library", "error")
    assert error.ids == ("rare",)
    assert "that one library alone holds" in error.message


def test_a_handful_of_cells_in_one_library_refuses_no_board() -> None:
    files = files_of(with_label_of_one_library(19), annotation_board("donor"))
    assert raised(files) == {"library": {"warning"}}
    (warning,) = found(files, "library", "warning")
    assert warning.ids == ("rare",)


def test_a_type_of_a_library_that_is_held_out_as_a_whole_refuses_no_board() -> None:
    """Nobody can gain by it: no fold shows it in training and in test."""
    obs = with_label_of_one_library(40)
    files = files_of(obs.assign(batch=obs["library"]), annotation_board("batch", unit="batch"))
    assert found(files, "library", "error") == []
    assert [f.ids for f in found(files, "library", "warning")] == [("rare",)]


def test_libraries_that_nobody_states_are_a_warning() -> None:
    files = files_of(crossed(), annotation_board("donor"), "unknown")
    assert raised(files) == {"library": {"warning"}}


def test_a_single_library_has_nothing_to_confound() -> None:
    obs = crossed().assign(library="one")
    assert raised(files_of(obs, annotation_board("donor"), "single")) == {}


def test_several_libraries_declared_as_a_single_one_are_an_error() -> None:
    files = files_of(crossed(), annotation_board("donor"), "single")
    (error,) = found(files, "library", "error")
    assert error.n == 6


def test_only_cells_that_the_board_keeps_and_that_have_a_label_count() -> None:
    obs = crossed()
    obs["cell_type"] = obs["cell_type"].where(obs["library"] == "library0")
    where = {"tissue": ("tissue0", "tissue1")}
    files = files_of(obs, annotation_board("donor", where=where))
    assert raised(files) == {}
    kept = obs["tissue"].isin(where["tissue"]) & obs["cell_type"].notna()
    (v,) = [f for f in found(files, "association", "ok") if "donor_id" in f.message]
    assert f"over {kept.sum()} cells" in v.message


@pytest.mark.parametrize("task", ["gene_network", "modality_prediction"])
def test_tasks_without_a_label_have_nothing_to_find(task: str) -> None:
    files = files_of(crossed(), annotation_board("donor"))
    files = replace(files, board=replace(files.board, task=task))
    assert [f for name in OF_LABELS for f in BOARD_CHECKS[name](files)] == []


@pytest.mark.parametrize("shape", [(2, 2), (3, 8), (20, 4)])
def test_cramers_v_is_the_corrected_one_of_scipys_chi_squared(shape: tuple[int, int]) -> None:
    table = np.random.default_rng(sum(shape)).integers(1, 40, shape).astype(np.float64)
    n, (r, c) = table.sum(), shape
    phi_squared = chi2_contingency(table, correction=False).statistic / n
    assert phi_squared == pytest.approx(association(table.astype(int)) ** 2 * (min(r, c) - 1))
    corrected = max(0.0, phi_squared - (r - 1) * (c - 1) / (n - 1))
    span = min(r - (r - 1) ** 2 / (n - 1), c - (c - 1) ** 2 / (n - 1)) - 1
    assert cramers_v(table) == pytest.approx(np.sqrt(corrected / span))


def test_cramers_v_of_columns_that_decide_each_other_is_one() -> None:
    assert cramers_v(np.diag([995.0, 1000.0])) == pytest.approx(1.0)
    assert cramers_v(np.diag([30.0, 4.0, 900.0])) == pytest.approx(1.0)


def test_cramers_v_of_independent_columns_is_near_zero_however_many_values_they_have() -> None:
    rng = np.random.default_rng(0)
    pairs = rng.integers(0, 40, 2000), rng.integers(0, 30, 2000)
    table = pd.crosstab(*pairs).to_numpy(dtype=np.float64)
    assert association(table.astype(int)) > 0.1
    assert cramers_v(table) < 0.05
