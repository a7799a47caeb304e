"""A few marker genes a type: what a person with a list of markers would do."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import scipy.sparse as sp
from jaxtyping import Float

from leaderboard.models._inputs import annotation, fitted, labels, log_counts, test_cells
from leaderboard.profiles import group_moments
from leaderboard.spec import Model, RunContext

if TYPE_CHECKING:
    from anndata import AnnData


@dataclass(frozen=True)
class MarkerGenes:
    """The mean z-score of each type's markers, those with its largest Welch t against the rest."""

    n_markers: int = 10

    def annotate(self, inputs: "AnnData", _run: RunContext) -> pd.DataFrame:
        """Return the type whose markers a cell has most of; ties go to the name that sorts first.

        Markers, means and deviations come from fitted cells.
        """
        names, label = np.unique(labels(inputs), return_inverse=True)
        values = log_counts(inputs)
        train, test = values[fitted(inputs)], values[test_cells(inputs)]
        _, mean, variance = group_moments(train, np.zeros(train.shape[0], dtype=int), 1)
        order = np.argsort(-welch_t(train, label, len(names)), axis=1, kind="stable")
        score = np.empty((test.shape[0], len(names)))
        for k, genes in enumerate(order[:, : self.n_markers]):
            sd = np.sqrt(variance[0, genes])
            weight = np.divide(1.0, sd, out=np.zeros_like(sd), where=sd > 0) / len(genes)
            score[:, k] = test[:, genes] @ weight - mean[0, genes] @ weight
        return annotation(inputs, names[np.round(score, 9).argmax(axis=1)])


def welch_t(
    values: sp.csr_matrix, label: np.ndarray, n_labels: int
) -> Float[np.ndarray, "labels genes"]:
    """Return Welch's t of every gene between the cells of a label and all others.

    0 where neither side varies; a label of one cell borrows the variance of the others. Rounded, so
    that genes which differ by rounding alone tie and the earlier one is taken.
    """
    n, mean, variance = group_moments(values, label, n_labels)
    variance = np.nan_to_num(variance)
    square = (np.maximum(n - 1, 0)[:, None] * variance) + n[:, None] * mean**2
    total, total_square, total_n = (n[:, None] * mean).sum(axis=0), square.sum(axis=0), n.sum()
    rest = np.maximum(total_n - n, 1)[:, None]
    rest_mean = (total - n[:, None] * mean) / rest
    rest_variance = (total_square - square - rest * rest_mean**2) / np.maximum(rest - 1, 1)
    rest_variance = np.maximum(rest_variance, 0.0)
    variance[n < 2] = rest_variance[n < 2]
    error = np.sqrt(variance / n[:, None] + rest_variance / rest)
    gap = mean - rest_mean
    t: Float[np.ndarray, "labels genes"] = np.zeros_like(gap)
    np.divide(gap, error, out=t, where=error > 1e-9)
    return np.round(t, 9)


MODEL = Model(
    name="marker_genes",
    label="Marker genes",
    tasks=("cell_type_annotation",),
    load=MarkerGenes,
)
