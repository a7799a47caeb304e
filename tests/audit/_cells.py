"""Cells of a known kind, and the leaks that are planted among them."""

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import scipy.sparse as sp

from leaderboard.audit import CHECKS, Finding, FoldFiles, find_copies
from leaderboard.cases import build_case, draw
from leaderboard.spec import Board, FoldRule

if TYPE_CHECKING:
    from anndata import AnnData

RULE = FoldRule(seed=7, k=5, validation_fraction=0.15)
BOARD = Board(dataset="small", task="cell_type_annotation", split="donor", unit="donor_id")
GENES = [f"GENE{i:04d}" for i in range(400)]


def build_cells(seed: int = 0, n: int = 480, depth: float = 800.0) -> "AnnData":
    """Cells of 4 types in 6 donors; every cell is drawn by itself, with a depth of its own."""
    from anndata import AnnData

    rng = np.random.default_rng(seed)
    kind = rng.permutation(np.resize(["A", "A", "B", "C", "D"], n))
    base = rng.normal(0.0, 1.5, len(GENES))
    share = {k: np.exp(base + rng.normal(0.0, 0.5, len(GENES))) for k in "ABCD"}
    size = depth * rng.lognormal(0.0, 0.4, n)
    rate = np.array([size[i] * share[k] / share[k].sum() for i, k in enumerate(kind)])
    obs = pd.DataFrame(
        {"cell_type": kind, "donor_id": np.repeat([f"D{i}" for i in range(6)], n // 6)},
        index=pd.Index([f"cell-{i:04d}" for i in range(n)]),
    )
    var = pd.DataFrame(index=pd.Index(GENES))
    return AnnData(sp.csr_matrix(rng.poisson(rate).astype(np.float32)), obs=obs, var=var)


def noised(counts: sp.csr_matrix, rng: np.random.Generator, *, moved: bool) -> sp.csr_matrix:
    """Return copies of which 1 % of the molecules are lost, and drawn anew if ``moved``.

    Every molecule is lost with a probability of 1 %; as many are drawn from the mean profile.
    """
    kept = counts.toarray()
    lost = rng.binomial(kept.astype(int), 0.01)
    kept = kept - lost
    if moved:
        mean = np.asarray(counts.sum(axis=0), dtype=np.float64).ravel()
        for row, n in enumerate(lost.sum(axis=1)):
            kept[row] += rng.multinomial(n, mean / mean.sum())
    return sp.csr_matrix(kept.astype(np.float32))


def replace_rows(adata: "AnnData", rows: np.ndarray, values: sp.csr_matrix) -> "AnnData":
    """Return the dataset with the counts of some cells replaced."""
    changed = adata.copy()
    counts = changed.X.tolil()
    counts[rows] = values
    changed.X = counts.tocsr()
    return changed


def fold_files(adata: "AnnData", board: Board = BOARD, fold: int = 0) -> FoldFiles:
    """Cut one fold as the pipeline does, with the search for copies."""
    roles = draw(adata.obs, board, RULE)[0]
    case = build_case(adata, roles, board, fold, "test")
    return FoldFiles(
        board=board, fold=fold, roles=roles.loc[roles["fold"] == fold, ["cell_id", "role"]],
        obs=adata.obs, inputs=case.inputs, truth=case.truth,
        copies=find_copies(adata.X, adata.obs_names, adata.var_names),
    )  # fmt: skip


def rows_of(files: FoldFiles, adata: "AnnData", role: str) -> np.ndarray:
    """Return the rows of the cells of a role."""
    cells = files.roles.loc[files.roles["role"] == role, "cell_id"]
    return np.sort(adata.obs_names.get_indexer(pd.Index(cells)))


def faults(files: FoldFiles) -> dict[str, list[Finding]]:
    """Return all that is not ok, of every check, by check."""
    found: dict[str, list[Finding]] = {}
    for check in CHECKS.values():
        for finding in check(files):
            if finding.severity != "ok":
                found.setdefault(finding.check, []).append(finding)
    return found
