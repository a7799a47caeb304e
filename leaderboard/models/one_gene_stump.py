"""One gene, cut into steps: what the single best gene of training can say."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import scipy.sparse as sp
from jaxtyping import Float, Int

from leaderboard.models._bins import answer_by_bin
from leaderboard.models._inputs import fitted, labels, log_counts
from leaderboard.spec import Model, RunContext

if TYPE_CHECKING:
    from anndata import AnnData

BLOCK = 4096
"""Cells whose counts are binned at a time."""


@dataclass(frozen=True)
class OneGeneStump:
    """A tree on one gene whose cuts lie at fixed steps of log counts; no count is a leaf apart."""

    step: float = 0.5
    n_steps: int = 9

    def annotate(self, inputs: "AnnData", run: RunContext) -> pd.DataFrame:
        """Return labels with shares; the gene is the one that leaves the least Gini impurity."""
        values = log_counts(inputs)
        label = np.unique(labels(inputs), return_inverse=True)[1]
        purity = self._purity(values[fitted(inputs)], label)
        gene = int(purity.argmax())
        run.log("purity", float(purity[gene]), 0)
        return answer_by_bin(inputs, self._steps(values[:, [gene]].toarray().ravel()))

    def _steps(self, values: Float[np.ndarray, " n"]) -> Int[np.ndarray, " n"]:
        """Return the leaf of every value: 0 for none, then one a step, the last one open."""
        step = 1 + np.minimum((values / self.step).astype(np.int64), self.n_steps - 1)
        leaf: Int[np.ndarray, " n"] = np.where(values > 0, step, 0)
        return leaf

    def _purity(
        self, values: sp.csr_matrix, label: Int[np.ndarray, " cells"]
    ) -> Float[np.ndarray, " genes"]:
        """Return, per gene, 1 - the mean Gini impurity of its leaves, weighed by their cells.

        Counts are added up over blocks of cells, and zeros are what is left over.
        """
        n_genes, n_leaves, n_labels = values.shape[1], self.n_steps + 1, int(label.max()) + 1
        counts = np.zeros(n_genes * n_leaves * n_labels, dtype=np.int64)
        for start in range(0, values.shape[0], BLOCK):
            block = values[start : start + BLOCK]
            of_cell = np.repeat(label[start : start + BLOCK], np.diff(block.indptr))
            key = (block.indices.astype(np.int64) * n_leaves + self._steps(block.data)) * n_labels
            counts += np.bincount(key + of_cell, minlength=len(counts))
        table = counts.reshape(n_genes, n_leaves, n_labels)
        table[:, 0] = np.bincount(label, minlength=n_labels) - table[:, 1:].sum(axis=1)
        size = np.maximum(table.sum(axis=2), 1)
        pure: Float[np.ndarray, " genes"] = ((table**2).sum(axis=2) / size).sum(axis=1) / len(label)
        return pure


MODEL = Model(
    name="one_gene_stump",
    label="One-gene stump",
    tasks=("cell_type_annotation",),
    load=OneGeneStump,
)
