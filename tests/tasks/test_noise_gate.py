"""How often the gate calls a perturbation that does nothing ``weak``: 5 % is what it says."""

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pytest

from leaderboard.spec import CONTROL
from leaderboard.tasks._gate import _gate, _nulls, _reliability, _scored
from leaderboard.tasks._statistics import fold_statistics, measure
from tests.conftest import build_screen
from tests.tasks._screens import NULL, board_of

if TYPE_CHECKING:
    from anndata import AnnData

N_SCREENS = 12


def noise_screen(seed: int) -> "AnnData":
    """Six perturbations without effect: null cells of each context, dealt anew."""
    adata = build_screen(seed, n_controls=200, n_cells=30)
    adata = adata[adata.obs["perturbation"].isin([CONTROL, *NULL]).to_numpy()].copy()
    name = adata.obs["perturbation"].to_numpy(dtype=object)
    rng = np.random.default_rng(seed)
    for context in ("k1", "k2"):
        rows = np.flatnonzero((name != CONTROL) & (adata.obs["cell_type"] == context).to_numpy())
        name[rng.permutation(rows)] = np.resize([f"N{i}" for i in range(6)], len(rows))
    adata.obs["perturbation"] = name
    return adata


def gate_of(adata: "AnnData") -> dict[str, list[str]]:
    """The gate of two folds of three perturbations each."""
    name = adata.obs["perturbation"].to_numpy(dtype=str)
    place = adata.obs.groupby(["perturbation", "cell_type"]).cumcount().to_numpy()
    half = np.where(place % 2 == 0, "control_input", "control_truth")
    folds = []
    for fold, tested in enumerate((name >= "N3", name < "N3")):
        role = np.where(name == CONTROL, half, np.where(tested, "test", "train"))
        folds.append(pd.DataFrame({"cell_id": adata.obs_names, "fold": fold, "role": role}))
    statistics, rows, nulls = measure(adata, pd.concat(folds), board_of()), [], []
    for number in range(2):
        fold_view = fold_statistics(statistics, number)
        rows += list(_reliability(fold_view, _scored(fold_view)))
        nulls += list(_nulls(fold_view, _scored(fold_view)))
    return _gate(pd.DataFrame(rows, columns=["unit", "r"]).groupby("unit")["r"].mean(), nulls)


@pytest.fixture(scope="module")
def gates() -> list[dict[str, list[str]]]:
    return [gate_of(noise_screen(seed)) for seed in range(N_SCREENS)]


def test_noise_never_responds(gates: list[dict[str, list[str]]]) -> None:
    assert sum(len(g["responders"]) for g in gates) == 0
    assert sum(len(g["weak"]) + len(g["noise"]) for g in gates) == 6 * N_SCREENS


def test_noise_is_called_weak_about_as_often_as_the_quantile_says(
    gates: list[dict[str, list[str]]],
) -> None:
    n = 6 * N_SCREENS
    share = sum(len(g["weak"]) for g in gates) / n
    assert share <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / n)
