"""A screen with known sizes on which cell-gears and our GEARS train side by side.

Needs numpy and scipy alone, so that the environment of either side can read it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import scipy.sparse as sp
from jaxtyping import Float, Int

CONTROL = "ctrl"
"""cell-gears' name of the control condition; a single is ``gene+ctrl``."""
MODULE_SIZE, N_NEIGHBOURS = 20, 20
MIN_CORRELATION, MIN_JACCARD = 0.4, 0.1
N_TERMS, MODULE_TERMS, GENE_TERMS = 60, 4, 3
VALIDATION_FRACTION, TEST_FRACTION = 0.1, 0.35


@dataclass(frozen=True, kw_only=True)
class Size:
    """What is drawn; the defaults are those of the benchmark."""

    n_genes: int = 500
    n_controls: int = 1000
    n_perturbations: int = 40
    n_cells: int = 100
    """Of each perturbation."""
    n_pairs: int = 0
    """Perturbations of two of the targets at once, besides."""


@dataclass(frozen=True, kw_only=True)
class Graph:
    """Edges from source to target with a weight, over numbered nodes."""

    source: Int[np.ndarray, " edges"]
    target: Int[np.ndarray, " edges"]
    weight: Float[np.ndarray, " edges"]


@dataclass(frozen=True, kw_only=True)
class Screen:
    """Log-normalised cells, their condition and part, and both graphs of GEARS over the genes."""

    log_counts: Float[sp.csr_matrix, "cells genes"]
    condition: Sequence[str]
    part: dict[str, str]
    """``train``, ``val`` or ``test`` by condition; controls train."""
    genes: Sequence[str]
    terms: dict[str, frozenset[str]]
    """GO terms of every gene."""
    coexpression: Graph
    ontology: Graph

    def conditions(self, part: str) -> list[str]:
        """Return the conditions of a part, sorted."""
        return sorted(name for name, its in self.part.items() if its == part)

    def is_in(self, part: str) -> np.ndarray:
        """Return by cell whether its condition belongs to a part."""
        return np.isin(np.asarray(self.condition), self.conditions(part))


def simulate(seed: int, size: Size | None = None) -> Screen:
    """Draw a screen whose genes vary in modules.

    A target moves a tenth of the genes, and all targets another tenth alike: what can be learnt.
    """
    size = size or Size()
    rng = np.random.default_rng(seed)
    genes = [f"G{g:04d}" for g in range(size.n_genes)]
    targets = sorted(rng.choice(genes, size.n_perturbations, replace=False).tolist())
    pairs = ["+".join(rng.choice(targets, 2, replace=False)) for _ in range(size.n_pairs)]
    names = [CONTROL, *(f"{gene}+{CONTROL}" for gene in targets), *sorted(set(pairs))]
    log_counts, condition = _cells(rng, names, size)
    part = _parts(rng, names)
    trained = np.isin(condition, [name for name in names if part[name] == "train"])
    terms = _terms(rng, genes)
    return Screen(
        log_counts=log_counts, condition=condition, part=part, genes=genes, terms=terms,
        coexpression=coexpression_graph(log_counts[trained].toarray()),
        ontology=ontology_graph([terms[gene] for gene in genes]),
    )  # fmt: skip


def write(screen: Screen, folder: Path) -> None:
    """Save what was drawn, without pickles."""
    sp.save_npz(folder / "log_counts.npz", screen.log_counts)
    pairs = [(gene, term) for gene in screen.genes for term in sorted(screen.terms[gene])]
    graphs = {
        f"{name}_{field}": getattr(getattr(screen, name), field)
        for name in ("coexpression", "ontology")
        for field in ("source", "target", "weight")
    }
    np.savez(
        folder / "screen.npz", condition=screen.condition, genes=screen.genes, pairs=pairs,
        part=list(screen.part.items()), **graphs,
    )  # fmt: skip


def read(folder: Path) -> Screen:
    """Return what :func:`write` saved."""
    with np.load(folder / "screen.npz") as saved:
        genes = saved["genes"].tolist()
        pairs = saved["pairs"]
        terms = {gene: frozenset(pairs[pairs[:, 0] == gene, 1].tolist()) for gene in genes}
        graphs = {
            name: Graph(**{f: saved[f"{name}_{f}"] for f in ("source", "target", "weight")})
            for name in ("coexpression", "ontology")
        }
        return Screen(
            log_counts=sp.csr_matrix(sp.load_npz(folder / "log_counts.npz")), genes=genes,
            terms=terms, condition=saved["condition"].tolist(),
            part=dict(saved["part"].tolist()), **graphs,
        )  # fmt: skip


def unchanged_error(screen: Screen) -> float:
    """Return the mean squared error of the control mean as the mean of validation conditions."""
    condition = np.asarray(screen.condition)
    start = screen.log_counts[condition == CONTROL].mean(axis=0)
    means = [screen.log_counts[condition == name].mean(axis=0) for name in screen.conditions("val")]
    return float(np.mean([np.square(mean - start).mean() for mean in means]))


def coexpression_graph(values: Float[np.ndarray, "cells genes"]) -> Graph:
    """Join a gene to the genes of the largest absolute correlation, itself among them."""
    return _nearest(np.abs(np.corrcoef(values.T)), MIN_CORRELATION)


def ontology_graph(terms: Sequence[frozenset[str]]) -> Graph:
    """Join a gene to the genes of the largest Jaccard index of terms, itself among them."""
    jaccard = [[len(a & b) / len(a | b) for a in terms] for b in terms]
    return _nearest(np.array(jaccard), MIN_JACCARD)


def _nearest(similarity: Float[np.ndarray, "target source"], least: float) -> Graph:
    order = np.argsort(-similarity, axis=1, kind="stable")[:, : N_NEIGHBOURS + 1]
    target = np.repeat(np.arange(len(similarity)), order.shape[1])
    source = order.ravel()
    weight = similarity[target, source]
    kept = weight > least
    return Graph(
        source=source[kept], target=target[kept], weight=weight[kept].astype(np.float32)
    )  # fmt: skip


def _cells(
    rng: np.random.Generator, names: Sequence[str], size: Size
) -> tuple[sp.csr_matrix, list[str]]:
    n_modules = -(-size.n_genes // MODULE_SIZE)
    module = np.arange(size.n_genes) // MODULE_SIZE
    base = rng.normal(0.5, 0.7, size.n_genes)
    common = _shift(rng, size.n_genes)
    counts, condition = [], []
    for name in names:
        n = size.n_controls if name == CONTROL else size.n_cells
        shift = (common + _shift(rng, size.n_genes)) * (name != CONTROL)
        state = rng.normal(0.0, 0.9, (n, n_modules))[:, module]
        counts.append(rng.poisson(np.exp(base + shift + state)))
        condition += [name] * n
    values = np.vstack(counts).astype(np.float32)
    total = values.sum(axis=1, keepdims=True)
    return sp.csr_matrix(np.log1p(values / total * np.median(total))), condition


def _shift(rng: np.random.Generator, n_genes: int) -> Float[np.ndarray, " genes"]:
    moved: Float[np.ndarray, " genes"] = rng.normal(0.0, 0.8, n_genes) * (rng.random(n_genes) < 0.1)
    return moved


def _parts(rng: np.random.Generator, names: Sequence[str]) -> dict[str, str]:
    shuffled = rng.permutation([name for name in names if name != CONTROL]).tolist()
    n_validation = round(VALIDATION_FRACTION * len(shuffled))
    n_held_out = n_validation + round(TEST_FRACTION * len(shuffled))
    part = dict.fromkeys(shuffled[:n_validation], "val")
    part |= dict.fromkeys(shuffled[n_validation:n_held_out], "test")
    return {name: part.get(name, "train") for name in names}


def _terms(rng: np.random.Generator, genes: Sequence[str]) -> dict[str, frozenset[str]]:
    every = [f"GO:{t:07d}" for t in range(N_TERMS)]
    of_module: dict[int, list[str]] = {}
    terms = {}
    for number, gene in enumerate(genes):
        module = number // MODULE_SIZE
        if module not in of_module:
            of_module[module] = rng.choice(every, MODULE_TERMS, replace=False).tolist()
        own = rng.choice(every, GENE_TERMS, replace=False).tolist()
        terms[gene] = frozenset([*of_module[module], *own])
    return terms
