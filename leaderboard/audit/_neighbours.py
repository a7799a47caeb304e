"""Pairs of cells that are far nearer than two draws of one profile: a search in buckets.

Counts of a cell are mapped to sqrt(share of the cell's counts), where two independent draws differ
by about the same amount in every expressed gene, and projected to ``DIMENSIONS`` random directions.
Along each of them two draws of one profile differ by about sqrt(k / n) (k genes found, n counts),
two copies of which 1 % of the molecules differ by about a tenth of that. Each of ``BANDS`` grids
cuts ``GRID_DIMENSIONS`` of the directions into steps of about sqrt(k / n). Cells in one box are
candidates; those that stay near along all directions are returned. The grids are shifted against
each other, so that a copy is not cut off from its cell by an edge in all of them. ``WINDOW`` bounds
the pairs of a crowded box, in which cells stand in the order of one direction more.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int, UInt64
from numpy.typing import NDArray
from scipy import sparse

DIMENSIONS = 32
GRID_DIMENSIONS = 8
BANDS = 24
STEP = 1.0
"""Width of a box, in units of sqrt(k / n)."""
NEAR = 0.3
"""Mean squared difference along a direction, in units of k / n, up to which a pair is kept."""
WINDOW = 8
SEED = 20261
PART = 1 << 17
"""Pairs whose projections are compared at a time."""


@dataclass(frozen=True, kw_only=True)
class Sketch:
    """What the search keeps of every cell."""

    place: Float[np.ndarray, "cells dimensions"]
    """Projected square roots of shares, in float32."""
    scale: Float[np.ndarray, " cells"]
    """k / n: genes found per molecule."""


def directions(n_genes: int) -> Float[np.ndarray, "genes dimensions"]:
    """Return the random directions, in float32; seeded."""
    return np.random.default_rng(SEED).standard_normal((n_genes, DIMENSIONS), dtype=np.float32)


def project_block(
    block: sparse.csr_matrix, along: Float[np.ndarray, "genes dimensions"]
) -> Float[np.ndarray, "cells dimensions"]:
    """Return the projected square roots of every cell's shares; zeros for a cell without counts."""
    total = np.asarray(block.sum(axis=1), dtype=np.float32).ravel()
    root = sparse.csr_matrix(
        (np.sqrt(block.data.astype(np.float32)), block.indices, block.indptr), shape=block.shape
    )
    place = np.asarray(root @ along, dtype=np.float32)
    place /= np.sqrt(np.maximum(total, 1.0))[:, None]
    return place


def near_pairs(sketch: Sketch) -> Int[np.ndarray, "pairs 2"]:
    """Return candidate pairs of rows, the smaller first, each once, sorted."""
    n_cells = len(sketch.scale)
    rng = np.random.default_rng([SEED, 1])
    found = [np.empty(0, dtype=np.int64)]
    for _ in range(BANDS if n_cells > 1 else 0):
        key = _boxes(sketch, rng)
        order = np.argsort(key, kind="stable")
        for shift in range(1, min(WINDOW, n_cells - 1) + 1):
            one, other = order[:-shift], order[shift:]
            together = np.flatnonzero((key[one] ^ key[other]) >> np.uint64(16) == 0)
            if not len(together):
                break
            found.append(_close(sketch, one[together], other[together]))
    codes = np.unique(np.concatenate(found))
    return np.column_stack([codes // max(n_cells, 1), codes % max(n_cells, 1)])


def _boxes(sketch: Sketch, rng: np.random.Generator) -> UInt64[np.ndarray, " cells"]:
    """Return every cell's box in one random grid: 48 bits of its name, then 16 of order in it.

    The step depends on k / n rounded to a power of two, which copies share but for an edge.
    """
    chosen = rng.permutation(DIMENSIONS)
    shift = rng.random(GRID_DIMENSIONS + 1)
    level = np.floor(np.log2(np.maximum(sketch.scale, 1e-9)) + shift[-1])
    step = STEP * np.exp2((level - shift[-1] + 0.5) / 2)
    inside = sketch.place[:, chosen[:GRID_DIMENSIONS]] / step[:, None].astype(np.float32)
    cell = np.floor(inside + shift[:-1].astype(np.float32)).astype(np.int64)
    odd = rng.integers(0, 2**63, GRID_DIMENSIONS + 1, dtype=np.uint64) * np.uint64(2) + np.uint64(1)
    name = level.astype(np.int64).astype(np.uint64) * odd[-1]
    for number in range(GRID_DIMENSIONS):
        name += cell[:, number].astype(np.uint64) * odd[number]
    # Along one more direction, so that copies stand next to each other in a crowded box.
    along = sketch.place[:, chosen[GRID_DIMENSIONS]]
    ranked = np.clip((along + 8.0) * 4096.0, 0, 65535).astype(np.uint64)
    return np.asarray((name & ~np.uint64(0xFFFF)) | ranked, dtype=np.uint64)


def _close(
    sketch: Sketch, one: NDArray[np.int64], other: NDArray[np.int64]
) -> Int[np.ndarray, " pairs"]:
    """Return the pairs that are near along all directions, as ``smaller * cells + larger``."""
    kept = []
    for start in range(0, len(one), PART):
        a, b = one[start : start + PART], other[start : start + PART]
        apart = sketch.place[a] - sketch.place[b]
        square = np.einsum("pd,pd->p", apart, apart) / DIMENSIONS
        near = square <= NEAR * np.minimum(sketch.scale[a], sketch.scale[b])
        low, high = np.minimum(a[near], b[near]), np.maximum(a[near], b[near])
        kept.append(low * len(sketch.scale) + high)
    return np.concatenate(kept)
