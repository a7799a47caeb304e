"""All cells of one fold in one context: the truth, and what an entry predicts for it.

What a metric asks for is computed when it is first asked for, and kept.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import scipy.sparse as sp
from jaxtyping import Bool, Float, Int

from leaderboard.metrics._bulk import (
    bulk_profile,
    credit_share,
    jackknife,
    mask_columns,
    squared_distances,
)
from leaderboard.metrics._cell_tables import CellTable, Controls, cell_table, read_controls
from leaderboard.profiles import log_normalise

Sparse = sp.csr_matrix
Rows = Int[np.ndarray, " _"]


@dataclass(frozen=True, kw_only=True)
class ContextTruth:
    """True cells of one fold in one context. Entries share it: none of it depends on one."""

    genes: tuple[str, ...]
    """All genes of the panel, those that it targets included."""
    counts: Sparse
    """Cells x genes, without stored zeros; ``rows`` and ``controls`` point into it."""
    factors: Float[np.ndarray, " cells"]
    """What the board divides a cell's counts by."""
    target_sum: float
    rows: Mapping[str, Rows]
    """Test cells of every perturbation, in the order of their names."""
    controls: Rows
    """The context's ``control_truth`` cells."""
    targets: frozenset[str]
    """Genes that the panel perturbs."""

    @cached_property
    def is_target(self) -> Bool[np.ndarray, " genes"]:
        """Whether the panel perturbs a gene."""
        found: Bool[np.ndarray, " genes"] = np.isin(self.genes, sorted(self.targets))
        return found

    @cached_property
    def gene_order(self) -> Int[np.ndarray, " genes"]:
        """The place of every gene among the sorted names."""
        return np.argsort(np.argsort(self.genes))

    @cached_property
    def scored(self) -> Bool[np.ndarray, "tests genes"]:
        """The genes that each perturbation is scored on: all but its own."""
        place = {gene: column for column, gene in enumerate(self.genes)}
        own = [[place[g] for g in name.split("+") if g in place] for name in self.rows]
        return mask_columns(len(self.genes), own)

    @cached_property
    def profiles(self) -> Float[np.ndarray, "tests genes"]:
        """Log of scaled summed counts of every perturbation."""
        return np.stack([bulk_profile(self.counts[rows]) for rows in self.rows.values()])

    @cached_property
    def control_profile(self) -> Float[np.ndarray, " genes"]:
        """Log of scaled summed counts of the control cells."""
        return bulk_profile(self.counts[self.controls])

    @cached_property
    def shifts(self) -> Float[np.ndarray, "tests kept"]:
        """``profiles`` from the control profile, targets of the panel removed."""
        shifts: Float[np.ndarray, "tests kept"] = (self.profiles - self.control_profile)[
            :, ~self.is_target
        ]
        return shifts

    @cached_property
    def noise(self) -> Float[np.ndarray, " tests"]:
        """Sampling variance of ``profiles``, summed over genes."""
        return np.array([jackknife(self.counts[rows]) for rows in self.rows.values()])

    @cached_property
    def effects(self) -> Float[np.ndarray, " tests"]:
        """Squared distance of every perturbation to control, less noise, per scored gene."""
        control = np.broadcast_to(self.control_profile, self.profiles.shape)
        distance = squared_distances(self.profiles, control, self.scored)
        control_noise = jackknife(self.counts[self.controls])
        effects: Float[np.ndarray, " tests"] = (
            distance - self.noise - control_noise
        ) / self.scored.sum(axis=1)
        return effects

    @cached_property
    def control_cells(self) -> Controls:
        """The ranked control cells."""
        return read_controls(self.counts[self.controls])

    @cached_property
    def tables(self) -> dict[str, CellTable]:
        """True differential expression, filled as it is asked for."""
        return {}

    def table(self, perturbation: str) -> CellTable:
        """Return the true differential expression of one perturbation."""
        if perturbation not in self.tables:
            cells = self.counts[self.rows[perturbation]]
            self.tables[perturbation] = cell_table(cells, self.control_cells)
        return self.tables[perturbation]

    def log_cells(self, perturbation: str) -> Sparse:
        """Return true cells as the board's profiles see them: log1p of scaled counts."""
        rows = self.rows[perturbation]
        return log_normalise(self.counts[rows], self.factors[rows], self.target_sum)


@dataclass(frozen=True, kw_only=True)
class Panel:
    """All predicted cells of one fold in one context, with the truth that they answer."""

    truth: ContextTruth
    log_counts: Float[np.ndarray, "cells genes"] | Sparse
    """log1p of scaled counts; ``rows`` points into it."""
    rows: Mapping[str, Rows]

    def cells(self, perturbation: str) -> Sparse:
        """Return predicted cells in proportion to counts."""
        found = sp.csr_matrix(self.log_counts[self.rows[perturbation]], dtype=np.float64)
        np.expm1(found.data, out=found.data)
        return found

    @cached_property
    def _bulks(self) -> tuple[Float[np.ndarray, "tests genes"], Float[np.ndarray, " tests"]]:
        """Profile and noise of every perturbation, from one block of cells at a time."""
        cells = map(self.cells, self.truth.rows)
        profiles, noise = zip(*((bulk_profile(c), jackknife(c)) for c in cells), strict=True)
        return np.stack(profiles), np.array(noise)

    @property
    def profiles(self) -> Float[np.ndarray, "tests genes"]:
        """Log of scaled summed counts of every predicted perturbation."""
        return self._bulks[0]

    @property
    def noise(self) -> Float[np.ndarray, " tests"]:
        """Sampling variance that the scatter of the predicted cells claims."""
        return self._bulks[1]

    @cached_property
    def errors(self) -> Float[np.ndarray, " tests"]:
        """Squared error of every profile, less sampling noise, per scored gene.

        A prediction's own noise counts up to the truth's, and over the panel up to its spread.
        """
        truth = self.truth
        distance = squared_distances(self.profiles, truth.profiles, truth.scored)
        credit = np.minimum(self.noise, truth.noise)
        credit = credit * credit_share(self.profiles, credit, truth.scored)
        errors: Float[np.ndarray, " tests"] = (distance - credit - truth.noise) / truth.scored.sum(
            axis=1
        )
        return errors
