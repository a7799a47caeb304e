"""Predicted and true cells of one test, built once a fold for all metrics that need cells."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse as sp
from jaxtyping import Bool, Float, Int

from leaderboard.errors import PredictionError, UndefinedScoreError
from leaderboard.metrics._cell_tables import NO_CHANGE, CellTable, cell_table
from leaderboard.metrics._panel import ContextTruth, Panel, Rows, Sparse
from leaderboard.profiles import target_genes
from leaderboard.spec import PerturbationUnit


@dataclass(frozen=True, kw_only=True)
class CellSample:
    """Predicted and true cells of one perturbation in one context, and the panel around them."""

    perturbation: str
    panel: Panel

    @property
    def truth(self) -> ContextTruth:
        """The true cells of the context."""
        return self.panel.truth

    @property
    def row(self) -> int:
        """The perturbation's place in the panel's profiles."""
        return list(self.truth.rows).index(self.perturbation)

    @property
    def scored(self) -> Bool[np.ndarray, " kept"]:
        """Which of the genes under test are not the perturbation's own targets."""
        kept = self.truth.control_cells.kept
        scored: Bool[np.ndarray, " kept"] = self.truth.scored[self.row][kept]
        return scored

    @property
    def gene_order(self) -> Int[np.ndarray, " kept"]:
        """The order of the names of the genes under test."""
        order: Int[np.ndarray, " kept"] = self.truth.gene_order[self.truth.control_cells.kept]
        return order

    @property
    def true_table(self) -> CellTable:
        """True differential expression; computed once for all entries."""
        return self.truth.table(self.perturbation)

    @cached_property
    def predicted_table(self) -> CellTable:
        """Predicted cells tested against the true control cells."""
        cells = self.panel.cells(self.perturbation)
        return cell_table(cells, self.truth.control_cells, no_change=NO_CHANGE)

    def log_cells(self) -> tuple[Float[np.ndarray, "predicted genes"], Sparse]:
        """Return predicted and true cells in log1p units, targets of the panel removed."""
        kept = np.flatnonzero(~self.truth.is_target)
        table: Any = self.panel.log_counts
        found = table[np.ix_(self.panel.rows[self.perturbation], kept)]
        predicted: Any = found if isinstance(found, np.ndarray) else found.toarray()
        return predicted.astype(np.float64), self.truth.log_cells(self.perturbation)[:, kept]


def sample_of(case: PerturbationUnit) -> CellSample:
    """Return the cells of a unit; raises UndefinedScoreError where the entry gave none."""
    if case.cells is None:
        raise UndefinedScoreError("no predicted cells")
    sample: CellSample = case.cells
    return sample


def controlled_sample_of(case: PerturbationUnit) -> CellSample:
    """Return the cells of a unit whose context holds ``control_truth`` cells to compare with."""
    sample = sample_of(case)
    if not len(sample.truth.controls):
        raise UndefinedScoreError("no control_truth cells in this context")
    return sample


def build_truths(
    counts: Sparse,
    cells: pd.DataFrame,
    genes: Sequence[str],
    *,
    factors: Float[np.ndarray, " cells"],
    target_sum: float,
    targets: Collection[str] | None = None,
) -> dict[str, ContextTruth]:
    """Sort the true cells of one fold by context.

    Parameters
    ----------
    counts
        Raw counts, cells x genes, over all genes of the panel.
    cells
        ``perturbation context role`` of every row; roles besides ``test`` and ``control_truth`` are
        left out.
    factors, target_sum
        How the board scales the counts of a cell.
    targets
        Genes that the panel perturbs; None means those of the test perturbations.
    """
    table = cells.reset_index(drop=True)
    test = table[table["role"] == "test"]
    controls = table[table["role"] == "control_truth"]
    clean = _without_zeros(counts)
    return {
        str(context): ContextTruth(
            genes=tuple(genes),
            counts=clean,
            factors=factors,
            target_sum=target_sum,
            rows=_rows(found),
            controls=controls.index[controls["context"] == context].to_numpy(dtype=np.int64),
            targets=target_genes(list(_rows(found))) if targets is None else frozenset(targets),
        )
        for context, found in test.groupby("context", observed=True)
    }


def build_samples(
    predicted: pd.DataFrame, truths: Mapping[str, ContextTruth]
) -> dict[tuple[str, str], CellSample]:
    """Pair predicted cells with the truth, by perturbation and context.

    Parameters
    ----------
    predicted
        ``perturbation context draw`` + every gene, in log1p of scaled counts. Empty: no samples.
    truths
        What ``build_truths`` returns for the fold.

    Raises
    ------
    PredictionError
        Some perturbations have predicted cells and others of the fold have none, or a value is
        negative or not finite: panel-wide scores would then depend on the choice of entries.
    """
    if predicted.empty or not truths:
        return {}
    keys = predicted[["perturbation", "context"]].reset_index(drop=True)
    values = _values(predicted, next(iter(truths.values())).genes)
    samples = {}
    for context, truth in truths.items():
        found = keys[keys["context"] == context]
        panel = Panel(truth=truth, log_counts=values, rows=_rows(found))
        missing = sorted(set(truth.rows) - set(panel.rows))
        if missing:
            raise PredictionError(
                f"{context}: no predicted cells for {len(missing)} of {len(truth.rows)} "
                f"perturbations: {missing[:5]}. Predict cells for all or for none."
            )
        samples.update(
            {(name, context): CellSample(perturbation=name, panel=panel) for name in truth.rows}
        )
    return samples


def _without_zeros(counts: Sparse) -> Sparse:
    """Return counts with one entry a place and no stored zero; the same matrix if it is so."""
    if counts.has_canonical_format and counts.data.all():
        return counts
    clean = sp.csr_matrix(counts, copy=True)
    clean.sum_duplicates()
    clean.eliminate_zeros()
    return clean


def _rows(table: pd.DataFrame) -> dict[str, Rows]:
    """Return the index labels of each perturbation's rows, in the order of names."""
    labels = table.index.to_numpy(dtype=np.int64)
    places = table.groupby("perturbation", observed=True).indices
    found = {str(name): labels[place] for name, place in places.items()}
    return dict(sorted(found.items()))


def _values(predicted: pd.DataFrame, genes: Sequence[str]) -> Float[np.ndarray, "cells genes"]:
    values = predicted[list(genes)].to_numpy()
    if not (values.min() >= 0 and values.max() < np.inf):  # NaN is neither
        raise PredictionError("predicted cells hold a value that is negative or not finite")
    return values
