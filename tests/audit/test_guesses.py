"""Labels hidden in cell ids or in the order of rows are guessed; opaque ids give nothing away."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from hashlib import blake2b
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pytest

from leaderboard.audit import CHECKS, Finding, FoldFiles
from leaderboard.audit._guesses import _log_chance
from leaderboard.spec import Board
from tests.audit._cells import build_cells, faults, fold_files

if TYPE_CHECKING:
    from anndata import AnnData


@pytest.fixture(scope="module")
def cells() -> "AnnData":
    return build_cells(n=1200, depth=120.0)


@pytest.fixture(scope="module")
def clean(cells: "AnnData") -> FoldFiles:
    return fold_files(cells)


def rename(files: FoldFiles, ids: Sequence[str], *, in_order: bool = True) -> FoldFiles:
    """Give every row of the inputs another id, in the truth too; rows are sorted by id if asked."""
    inputs, truth = files.inputs.copy(), files.truth.copy()
    new = dict(zip(inputs.obs_names, ids, strict=True))
    truth["cell_id"] = truth["cell_id"].map(new)
    inputs.obs_names = pd.Index(list(ids), name="cell_id")
    if in_order:
        inputs = inputs[np.argsort(np.asarray(ids))].copy()
    return replace(files, inputs=inputs, truth=truth)


def labels_of(files: FoldFiles, column: str = "cell_type") -> np.ndarray:
    """Return the hidden label of every row of the inputs; training cells have theirs."""
    real = files.truth.set_index("cell_id")["real_cell_id"].reindex(files.inputs.obs_names)
    hidden = files.obs[column].astype(str).reindex(real.to_numpy()).to_numpy(dtype=object)
    known = pd.Series(hidden).isna().to_numpy()
    hidden[known] = files.inputs.obs[column].astype(str).to_numpy(dtype=object)[known]
    return hidden.astype(str)


def guesses(files: FoldFiles) -> list[Finding]:
    return [f for f in CHECKS["guesses"](files) if f.severity != "ok"]


def test_opaque_ids_and_their_order_give_nothing_away(clean: FoldFiles) -> None:
    assert faults(clean) == {}
    assert [f.message for f in CHECKS["guesses"](clean)] == [
        "no column(s) of test cells that cell ids give away",
        "no column(s) of test cells that the order of rows give away",
    ]


@pytest.mark.parametrize("place", [5, 23])
def test_a_label_in_one_digit_of_opaque_looking_ids_is_found(clean: FoldFiles, place: int) -> None:
    digit = {kind: f"{3 * n:x}" for n, kind in enumerate("ABCD")}
    ids = [
        f"{name[:place]}{digit[label]}{name[place + 1 :]}"
        for name, label in zip(clean.inputs.obs_names, labels_of(clean), strict=True)
    ]
    found = faults(rename(clean, ids))
    assert list(found) == ["guesses"]
    (error,) = found["guesses"]
    assert (error.severity, error.ids) == ("error", ("cell_type",))
    assert error.message.startswith("1 column(s) of test cells that cell ids give away; cell_type")


def test_a_label_in_the_digits_of_every_second_id_is_found(clean: FoldFiles) -> None:
    rng = np.random.default_rng(0)
    digit = {kind: f"{3 * n:x}" for n, kind in enumerate("ABCD")}
    ids = [
        f"{name[:-1]}{digit[label]}" if rng.random() < 1 / 2 else name
        for name, label in zip(clean.inputs.obs_names, labels_of(clean), strict=True)
    ]
    assert [f.ids for f in guesses(rename(clean, ids))] == [("cell_type",)]


def test_a_label_at_the_end_of_an_id_is_found_by_both_checks_of_ids(clean: FoldFiles) -> None:
    ids = [
        f"{name}-{label}"
        for name, label in zip(clean.inputs.obs_names, labels_of(clean), strict=True)
    ]
    assert set(faults(rename(clean, ids))) == {"guesses", "identifiers"}


Order = Callable[[np.ndarray, np.random.Generator], np.ndarray]


def by_label(labels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return np.argsort(labels, kind="stable") + 0 * rng.integers(1)


def by_pairs(labels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Cells of a label two by two, the pairs shuffled."""
    ordered = np.argsort(labels, kind="stable")
    pairs = ordered[: len(ordered) // 2 * 2].reshape(-1, 2)
    return np.concatenate([rng.permutation(pairs).ravel(), ordered[len(ordered) // 2 * 2 :]])


def by_trend(labels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Half of the variance of a cell's place is its label."""
    codes = np.unique(labels, return_inverse=True)[1]
    return np.argsort(codes + codes.std() * rng.normal(size=len(labels)))


@pytest.mark.parametrize("order", [by_label, by_pairs, by_trend])
def test_a_label_in_the_order_of_rows_under_sorted_random_ids_is_found(
    clean: FoldFiles, order: Order
) -> None:
    labels = labels_of(clean)
    inputs = clean.inputs[order(labels, np.random.default_rng(1))].copy()
    ids = sorted(blake2b(str(i).encode(), digest_size=12).hexdigest() for i in range(len(labels)))
    found = faults(rename(replace(clean, inputs=inputs), ids))
    assert list(found) == ["guesses"]
    assert "the order of rows give away" in found["guesses"][-1].message
    assert found["guesses"][-1].ids == ("cell_type",)


def test_rows_sorted_by_label_without_new_ids_are_found_by_both_checks_of_order(
    clean: FoldFiles,
) -> None:
    inputs = clean.inputs[np.argsort(labels_of(clean), kind="stable")].copy()
    found = faults(replace(clean, inputs=inputs))
    assert set(found) == {"guesses", "identifiers"}
    assert found["identifiers"][0].ids == ("order",)


def test_the_batch_of_test_cells_in_ids_is_found_under_its_own_name(cells: "AnnData") -> None:
    adata = cells.copy()
    adata.obs["batch"] = np.random.default_rng(2).choice(["b0", "b1"], adata.n_obs)
    files = fold_files(adata)
    ids = [
        f"{name[:7]}{label[1]}{name[8:]}"
        for name, label in zip(files.inputs.obs_names, labels_of(files, "batch"), strict=True)
    ]
    assert guesses(files) == []
    assert [f.ids for f in guesses(rename(files, ids))] == [("batch",)]


def test_a_column_of_one_value_among_test_cells_is_no_secret(clean: FoldFiles) -> None:
    obs = clean.obs.assign(cell_type="A")
    found = list(CHECKS["guesses"](replace(clean, obs=obs)))
    assert {(f.severity, f.n) for f in found} == {("ok", 0)}


def test_too_few_test_cells_are_said_to_be_too_few() -> None:
    files = fold_files(build_cells(n=60))
    assert [f.message for f in CHECKS["guesses"](files)] == [
        "10 test cell(s) are too few to tell whether cell ids give anything away",
        "10 test cell(s) are too few to tell whether the order of rows give anything away",
    ]


def test_a_perfect_leak_among_40_test_cells_is_found() -> None:
    files = fold_files(build_cells(n=240, depth=120.0))
    labels = labels_of(files)
    ids = [
        f"{n[:-1]}{ord(label) - 65}"
        for n, label in zip(files.inputs.obs_names, labels, strict=True)
    ]
    assert [f.ids for f in guesses(rename(files, ids))] == [("cell_type",)]


def test_boards_whose_test_cells_are_no_inputs_have_nothing_to_guess(
    screen: "AnnData", screen_board: Board
) -> None:
    assert list(CHECKS["guesses"](fold_files(screen, screen_board))) == []


def test_shuffled_labels_raise_no_false_alarm_and_keep_their_level(clean: FoldFiles) -> None:
    rng = np.random.default_rng(4)
    alarms = 0
    for _ in range(60):
        shuffled = clean.obs.copy()
        shuffled["cell_type"] = rng.choice(
            ["A", "B", "C", "rare"], len(shuffled), p=[0.6, 0.3, 0.09, 0.01]
        )
        alarms += len(guesses(replace(clean, obs=shuffled)))
    assert alarms == 0


@pytest.mark.parametrize("shares", [(0.5, 0.5), (0.9, 0.08, 0.02), (0.25,) * 4])
def test_the_chance_of_shuffled_labels_is_at_most_its_level(shares: tuple[float, ...]) -> None:
    rng = np.random.default_rng(6)
    k = len(shares)
    guessed, true = rng.choice(k, 120, p=shares), rng.choice(k, 120, p=shares)
    found = []
    for _ in range(800):
        table = np.zeros((k, k), dtype=np.int64)
        np.add.at(table, (rng.permutation(true), guessed), 1)
        found.append(_log_chance(table))
    for level in (0.2, 0.05, 0.01):
        assert np.mean(np.array(found) <= np.log(level)) <= level + 2 * np.sqrt(level / 800)
