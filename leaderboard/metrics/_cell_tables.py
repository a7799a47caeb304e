"""Differential expression of cells against control cells, as the Virtual Cell Challenge has it.

Definitions: ArcInstitute/cell-eval2 0.20, docs/vcc2026_metrics, section 3.
"""

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
from jaxtyping import Bool, Float

from leaderboard.metrics._differential import ALPHA, benjamini_hochberg
from leaderboard.metrics._ranks import (
    RankedControls,
    keep_genes,
    rank_controls,
    rank_sum_test,
)
from leaderboard.profiles import log_normalise

Sparse = sp.csr_matrix
PER_MILLION = 1e6
MIN_PER_MILLION = 5.0
"""Genes whose mean over control cells is at most this are not tested."""
EPSILON = 1e-9
"""Keeps a fold change finite where a group has no count."""
NO_CHANGE = 1e-6
"""Predicted log2 fold changes this small are the rounding of float32 predictions: none."""


@dataclass(frozen=True, kw_only=True)
class Controls:
    """What every test of one context shares."""

    kept: Bool[np.ndarray, " genes"]
    """Genes that are tested: a property of the control cells alone."""
    mean: Float[np.ndarray, " kept"]
    """Mean counts per million."""
    ranks: RankedControls


@dataclass(frozen=True, kw_only=True)
class CellTable:
    """The test of every kept gene of one group of cells."""

    change: Float[np.ndarray, " kept"]
    """log2 fold change of mean counts per million."""
    p: Float[np.ndarray, " kept"]
    adjusted: Float[np.ndarray, " kept"]

    @property
    def called(self) -> Bool[np.ndarray, " kept"]:
        """Whether a gene is significant."""
        return self.adjusted < ALPHA


def read_controls(cells: Sparse) -> Controls:
    """Choose the genes to test and sort their control values; ``cells`` are counts."""
    logged = _log_per_million(cells)
    mean = _mean_expm1(logged)
    kept = mean > MIN_PER_MILLION
    return Controls(kept=kept, mean=mean[kept], ranks=rank_controls(keep_genes(logged, kept)))


def cell_table(cells: Sparse, controls: Controls, *, no_change: float = 0.0) -> CellTable:
    """Test a group of cells, as counts or in proportion to them.

    Fold changes up to ``no_change`` in size become 0.
    """
    logged = keep_genes(_log_per_million(cells), controls.kept)
    change = np.log2((_mean_expm1(logged) + EPSILON) / (controls.mean + EPSILON))
    change[np.abs(change) <= no_change] = 0.0
    p = rank_sum_test(logged, controls.ranks)
    return CellTable(change=change, p=p, adjusted=benjamini_hochberg(p))


def _log_per_million(cells: Sparse) -> Sparse:
    totals = np.asarray(cells.sum(axis=1, dtype=np.float64)).ravel()
    return log_normalise(cells, totals, PER_MILLION)


def _mean_expm1(logged: Sparse) -> Float[np.ndarray, " genes"]:
    n_cells, n_genes = logged.shape
    total = np.bincount(logged.indices, weights=np.expm1(logged.data), minlength=n_genes)
    return total / float(max(n_cells, 1))
