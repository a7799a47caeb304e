"""From the counts of a cell to the tokens of scGPT: genes of its vocabulary, values in bins.

The published way (``embed_data`` of scGPT 0.2.5) draws the bins of tied values, and the genes of a
cell that has too many, from one stream for all cells. Here each cell has a stream of its own, named
by the seed and the cell's id, so neither the order of cells and genes nor the batches matter.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy import sparse

from leaderboard.errors import CheckpointError, PredictionError

LOW = np.uint64(0xFFFFFFFF)


@dataclass(frozen=True, kw_only=True)
class Vocabulary:
    """Ids of gene symbols and of special tokens."""

    ids: Mapping[str, int]
    """By symbol as published, special tokens among them; case matters, as it does there."""
    pad: int
    cls: int

    def genes(self, symbols: Sequence[str]) -> Int[np.ndarray, " genes"]:
        """Return the id of every symbol; -1 where it is unknown."""
        ids = [self.ids.get(str(symbol), -1) for symbol in symbols]
        found = np.array(ids, dtype=np.int64)
        is_special = np.isin(found, [self.pad, self.cls])
        genes: Int[np.ndarray, " genes"] = np.where(is_special, -1, found)
        return genes


@dataclass(frozen=True, kw_only=True)
class Encoding:
    """How counts become tokens; the defaults are the published ones."""

    n_bins: int = 51
    max_tokens: int = 1200
    """The cell's own token included."""
    pad_value: float = -2.0
    """Value of padding, and of the cell's own token."""
    seed: int = 0


@dataclass(frozen=True, kw_only=True)
class Coverage:
    """How much of some cells a vocabulary knows."""

    genes_fraction: float
    counts_fraction: float
    empty_cells: int
    """Cells without a count of a known gene: their tokens are the cell's own alone."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Panel:
    """Counts of the genes that a vocabulary knows."""

    counts: sparse.csr_matrix
    """Cells x known genes in the order of their ids; float32, no explicit zero."""
    genes: Int[np.ndarray, " known"]
    """Their ids."""
    cell_ids: Sequence[str]
    vocabulary: Vocabulary
    coverage: Coverage

    def lengths(self, encoding: Encoding) -> Int[np.ndarray, " cells"]:
        """Return how many tokens every cell has."""
        lengths: Int[np.ndarray, " cells"] = np.diff(self.counts.indptr) + 1
        return lengths.clip(max=encoding.max_tokens)


def build_panel(
    counts: sparse.csr_matrix,
    symbols: Sequence[str],
    cell_ids: Sequence[str],
    vocabulary: Vocabulary,
) -> Panel:
    """Return the counts (cells x genes) that a vocabulary knows, and how many it does not.

    Raises
    ------
    CheckpointError
        If it knows none of the genes.
    PredictionError
        If counts are negative or not finite, two genes have one id or two cells one name.
    """
    found = vocabulary.genes(symbols)
    _check(counts, found, cell_ids)
    order = np.argsort(found, kind="stable")
    order = order[found[order] >= 0]
    if not len(order):
        raise CheckpointError(
            f"none of {len(symbols)} genes (such as {', '.join(map(str, symbols[:3]))}) is in the "
            f"vocabulary of {len(vocabulary.ids)} (such as {', '.join(list(vocabulary.ids)[:3])}). "
            "Name genes by symbol, in the case that the vocabulary has, or take other weights."
        )
    known = sparse.csr_matrix(counts[:, order], dtype=np.float32)
    known.eliminate_zeros()
    known.sort_indices()
    total = float(counts.sum(dtype=np.float64))
    coverage = Coverage(
        genes_fraction=len(order) / len(symbols),
        counts_fraction=float(known.sum(dtype=np.float64)) / total if total else 0.0,
        empty_cells=int((np.diff(known.indptr) == 0).sum()),
    )
    return Panel(
        counts=known,
        genes=found[order],
        cell_ids=[str(name) for name in cell_ids],
        vocabulary=vocabulary,
        coverage=coverage,
    )


def _check(
    counts: sparse.csr_matrix, found: Int[np.ndarray, " genes"], cell_ids: Sequence[str]
) -> None:
    if counts.shape != (len(cell_ids), len(found)):
        raise PredictionError(
            f"counts: expected {len(cell_ids)} cells x {len(found)} genes, as named, got "
            f"{counts.shape[0]} x {counts.shape[1]}."
        )
    if not (np.isfinite(counts.data).all() and (counts.data >= 0).all()):
        raise PredictionError(
            "counts: expected finite values from 0 on, got others. Give raw counts."
        )
    for what, names in (("gene", found[found >= 0]), ("cell", cell_ids)):
        doubled = len(names) - len(set(names))
        if doubled:
            raise PredictionError(
                f"{what} ids: expected each once, got {doubled} more than once. Sum or rename them."
            )


@dataclass(frozen=True, kw_only=True, eq=False)
class Tokens:
    """Some cells, filled up to the longest."""

    genes: Int[np.ndarray, "cells tokens"]
    values: Float[np.ndarray, "cells tokens"]
    lengths: Int[np.ndarray, " cells"]


def tokenise(panel: Panel, rows: Int[np.ndarray, " cells"], encoding: Encoding) -> Tokens:
    """Return the tokens of some cells of a panel.

    First the cell's own token, then the genes that it expresses in the order of their ids, with the
    bin of their count. A cell with more than fits keeps a random choice of them, binned before.
    """
    counts = panel.counts[rows]
    size = np.diff(counts.indptr)
    draws = [_stream(encoding.seed, panel.cell_ids[row]) for row in rows]
    uniform = np.concatenate(
        [np.empty(0), *(d.random(n) for d, n in zip(draws, size, strict=True))]
    )
    cell = np.repeat(np.arange(len(rows)), size)
    binned = bin_values(counts.data, cell, uniform, encoding.n_bins)
    room = encoding.max_tokens - 1
    kept = np.ones(len(cell), dtype=bool)
    for number in np.flatnonzero(size > room):
        left_out = np.argsort(draws[number].random(size[number]), kind="stable")[room:]
        kept[counts.indptr[number] + left_out] = False
    lengths = np.minimum(size, room)
    place = np.arange(lengths.sum()) - np.repeat(np.cumsum(lengths) - lengths, lengths) + 1
    shape = (len(rows), int(lengths.max(initial=0)) + 1)
    genes, values = (
        np.full(shape, panel.vocabulary.pad),
        np.full(shape, encoding.pad_value, np.float32),
    )
    genes[:, 0] = panel.vocabulary.cls
    genes[cell[kept], place] = panel.genes[counts.indices[kept]]
    values[cell[kept], place] = binned[kept]
    return Tokens(genes=genes, values=values, lengths=lengths + 1)


def _stream(seed: int, cell_id: str) -> np.random.Generator:
    key = hashlib.blake2b(f"{seed}\0{cell_id}".encode(), digest_size=16).digest()
    return np.random.Generator(np.random.Philox(key=int.from_bytes(key, "little")))


def bin_values(
    values: Float[np.ndarray, " values"],
    cell: Int[np.ndarray, " values"],
    uniform: Float[np.ndarray, " values"],
    n_bins: int,
) -> Int[np.ndarray, " values"]:
    """Return the bin of every value among those of its cell, from 1 to ``n_bins`` - 1.

    Edges are the cell's quantiles at ``n_bins`` - 1 even steps, by numpy's linear rule to the last
    digit. A value that equals several edges is spread over their bins by its uniform number; this
    is the published rule, for all cells at once.

    Parameters
    ----------
    values
        Positive, as float32.
    cell
        Number of each value's cell, in rising order.
    uniform
        From 0 to 1.
    n_bins
        At least 3.
    """
    # A positive float32 sorts like its bits, so cell and value make one integer key.
    bits = np.ascontiguousarray(values, dtype=np.float32).view(np.uint32)
    key = (cell.astype(np.uint64) << np.uint64(32)) | bits
    distinct, group, count = np.unique(key, return_inverse=True, return_counts=True)
    level = (distinct & LOW).astype(np.uint32).view(np.float32)
    _, owner = np.unique(distinct >> np.uint64(32), return_inverse=True)
    sizes = np.bincount(owner, weights=count).astype(np.int64)
    ranked = np.repeat(np.arange(len(distinct)), count)
    place, is_equal = _edges(level, ranked, sizes, n_bins - 1)
    passed = np.cumsum(np.bincount(place.ravel(), minlength=len(distinct)))
    passed -= (n_bins - 1) * owner
    equal = np.bincount(place[is_equal], minlength=len(distinct))
    bins: Int[np.ndarray, " values"] = np.ceil(uniform * -equal[group] + passed[group])
    return bins.astype(np.int64)


def _edges(
    level: Float[np.ndarray, " distinct"],
    ranked: Int[np.ndarray, " values"],
    sizes: Int[np.ndarray, " cells"],
    n_edges: int,
) -> tuple[Int[np.ndarray, "cells edges"], Bool[np.ndarray, "cells edges"]]:
    """Return the first distinct value that is not below each edge, and whether it equals it.

    ``level`` are the distinct values, cell after cell and rising in each; ``ranked`` says which of
    them each value is, in that order.
    """
    position = np.linspace(0, 1, n_edges) * (sizes[:, None] - 1)
    below = np.floor(position)
    share = position - below
    first = (np.cumsum(sizes) - sizes)[:, None]
    low = ranked[first + below.astype(np.int64)]
    high = ranked[first + np.minimum(below.astype(np.int64) + 1, sizes[:, None] - 1)]
    rise = level[high] - level[low]
    # As numpy interpolates: from the nearer end.
    edge = np.where(share < 0.5, level[low] + rise * share, level[high] - rise * (1 - share))
    place = np.where(edge == level[low], low, high)
    return place, edge == level[place]
