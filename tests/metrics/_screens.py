"""A simulated count screen, as an entry answers it, for tests of metrics that need cells."""

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
import scipy.sparse as sp

from leaderboard.metrics._cells import CellSample, build_samples, build_truths
from leaderboard.spec import PerturbationUnit

DEPTH = 2000
"""Counts of every predicted cell, so that log1p of scaled counts gives the counts back."""


@dataclass(frozen=True, kw_only=True)
class Screen:
    """True cells, controls among them, and predicted cells of one context ``k``."""

    genes: tuple[str, ...]
    counts: sp.csr_matrix
    cells: pd.DataFrame
    predicted_counts: np.ndarray
    predicted: pd.Series  # of perturbations

    @property
    def table(self) -> pd.DataFrame:
        """The predicted cells as an entry hands them in."""
        table = pd.DataFrame(np.log1p(self.predicted_counts), columns=list(self.genes))
        table.insert(0, "perturbation", self.predicted.to_numpy())
        table.insert(1, "context", "k")
        table.insert(2, "draw", np.arange(len(table)))
        return table

    @property
    def factors(self) -> np.ndarray:
        """Totals of the true cells."""
        return np.asarray(self.counts.sum(axis=1), dtype=np.float64).ravel()

    def samples(self) -> dict[str, CellSample]:
        """What the metrics see, by perturbation."""
        truths = build_truths(
            self.counts, self.cells, self.genes, factors=self.factors, target_sum=float(DEPTH)
        )
        found = build_samples(self.table, truths)
        return {perturbation: sample for (perturbation, _), sample in found.items()}

    def units(self) -> dict[str, PerturbationUnit]:
        """The unit records, by perturbation."""
        return {name: unit(sample) for name, sample in self.samples().items()}


def unit(sample: CellSample | None) -> PerturbationUnit:
    """Return a record of which metrics of cells read nothing but the cells."""
    nothing = np.zeros(1)
    return PerturbationUnit(
        predicted=nothing, truth=nothing, control_input=nothing, control_truth=nothing,
        weight=nothing, other_truths=np.zeros((0, 1)), reference=nothing, n=1, n_control=1,
        variance=nothing, control_variance=nothing, cells=sample,
    )  # fmt: skip


def simulate(
    seed: int = 0, *, n_perturbations: int = 12, n_cells: int = 60, n_genes: int = 300,
    n_controls: int = 150, skill: float = 0.6,
) -> Screen:  # fmt: skip
    """Draw a screen. Each perturbation silences its own gene and moves 40 others.

    Predictions have ``skill`` of the true log fold changes, and noise of their own in its stead.
    """
    rng = np.random.default_rng(seed)
    genes = tuple(f"G{i:04d}" for i in rng.permutation(n_genes))
    base = rng.gamma(0.7, 1.0, n_genes)
    names = sorted(genes[:n_perturbations])
    blocks, labels, answers = [], [], []
    for name in names:
        change = np.zeros(n_genes)
        moved = rng.choice(n_genes, 40, replace=False)
        change[moved] = rng.normal(scale=0.8, size=40)
        change[genes.index(name)] = -2.5
        noise = rng.normal(scale=0.15, size=n_genes)
        blocks.append(_draw(rng, base * np.exp(change), rng.poisson(1500, n_cells) + 50))
        answer = base * np.exp(skill * change + (1 - skill) * noise)
        answers.append(_draw(rng, answer, np.full(n_cells, DEPTH)))
        labels += [(name, "test")] * n_cells
    blocks.append(_draw(rng, base, rng.poisson(1500, n_controls) + 50))
    labels += [("control", "control_truth")] * n_controls
    cells = pd.DataFrame(labels, columns=["perturbation", "role"]).assign(context="k")
    return Screen(
        genes=genes,
        counts=sp.csr_matrix(np.vstack(blocks).astype(np.float32)),
        cells=cells,
        predicted_counts=np.vstack(answers),
        predicted=pd.Series(np.repeat(names, n_cells)),
    )


def _draw(rng: np.random.Generator, rate: np.ndarray, depth: np.ndarray) -> np.ndarray:
    """Draw cells whose shares scatter around ``rate`` by a quarter."""
    scatter = rate * rng.gamma(16.0, 1 / 16.0, size=(len(depth), len(rate)))
    return rng.multinomial(depth, scatter / scatter.sum(axis=1, keepdims=True)).astype(np.float64)


def same_cells(screen: Screen) -> Screen:
    """Predict the cells of the first perturbation for all."""
    first = screen.predicted_counts[: len(screen.predicted) // screen.predicted.nunique()]
    copies = np.tile(first, (screen.predicted.nunique(), 1))
    return replace(screen, predicted_counts=copies)


def pinned_cells(screen: Screen) -> Screen:
    """Predict cells that scatter widely around profiles that hardly differ."""
    rng = np.random.default_rng(0)
    n = screen.predicted.nunique()
    first = screen.predicted_counts[: len(screen.predicted) // n]
    blocks = []
    for _ in range(n):
        block = first.copy()
        a, b = rng.choice(block.shape[1], 2, replace=False)
        block[0, [a, b]] += block[0, [b, a]]
        blocks.append(block)
    return replace(screen, predicted_counts=np.vstack(blocks))


def copied_controls(screen: Screen) -> Screen:
    """Predict control cells, at one depth."""
    rng = np.random.default_rng(1)
    is_control = (screen.cells["role"] == "control_truth").to_numpy()
    controls = screen.counts[np.flatnonzero(is_control)].toarray().astype(np.float64)
    chosen = controls[rng.integers(len(controls), size=len(screen.predicted))]
    share = chosen / chosen.sum(axis=1, keepdims=True)
    return replace(screen, predicted_counts=rng.multinomial(DEPTH, share).astype(np.float64))


def first_cells(screen: Screen, n: int) -> Screen:
    """Predict the first cells of every perturbation only."""
    kept = (screen.predicted.groupby(screen.predicted).cumcount() < n).to_numpy()
    return replace(
        screen,
        predicted=screen.predicted[kept],
        predicted_counts=screen.predicted_counts[kept],
    )
