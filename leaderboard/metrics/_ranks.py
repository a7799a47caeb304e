"""Rank-sum tests of many groups of cells against one set of controls, on sparse values.

Controls are sorted once; a group then costs a sort of its own counts and a search in theirs.
"""

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
from jaxtyping import Bool, Float, Int
from scipy.special import ndtr

Sparse = sp.csr_matrix
FRACTION_BITS = 30
"""Log values closer than 2^-30 tie: equal proportions, computed from other counts, differ less."""
VALUE_BITS = FRACTION_BITS + 5
"""Log values stay below 32, so the bits above hold the number of the gene."""


@dataclass(frozen=True, kw_only=True)
class RankedControls:
    """The values of every gene in the control cells, in order.

    ``key`` holds each distinct value of each gene once; zeros are not among them.
    """

    n: int
    key: Int[np.ndarray, " values"]
    count: Float[np.ndarray, " values"]
    """Number of control cells with that value."""
    below: Float[np.ndarray, " places"]
    """Number of control values before a place in ``key``, genes before included."""
    first: Float[np.ndarray, " genes"]
    """The part of ``below`` that belongs to the genes before."""
    zeros: Float[np.ndarray, " genes"]
    ties: Float[np.ndarray, " genes"]
    """Sum of c^3 - c over the counts c of a gene's distinct values, zero left out."""


def rank_controls(log_values: Sparse) -> RankedControls:
    """Sort the values (cells x genes, log of a proportion, none negative) of control cells."""
    n_cells, n_genes = log_values.shape
    key, count = _distinct(log_values)
    gene = key >> VALUE_BITS
    filled = _by_gene(gene, count, n_genes)
    return RankedControls(
        n=n_cells,
        key=key,
        count=count,
        below=np.concatenate([[0.0], np.cumsum(count)]),
        first=np.concatenate([[0.0], np.cumsum(filled)[:-1]]),
        zeros=n_cells - filled,
        ties=_by_gene(gene, _cubes(count), n_genes),
    )


def rank_sum_test(log_values: Sparse, controls: RankedControls) -> Float[np.ndarray, " genes"]:
    """Return the two-sided p-value of every gene, group (cells x genes) against controls.

    The normal approximation with tied ranks averaged, the variance corrected for ties and 1/2 for
    continuity. A gene with one value in all cells has p = 1.
    """
    n_cells, n_genes = log_values.shape
    key, count = _distinct(log_values)
    gene = key >> VALUE_BITS
    place = np.searchsorted(controls.key, key)
    tied = np.zeros_like(count)
    inside = place < len(controls.key)
    equal = np.flatnonzero(inside)[controls.key[place[inside]] == key[inside]]
    tied[equal] = controls.count[place[equal]]
    passed = controls.below[place] - controls.first[gene] + controls.zeros[gene] + tied / 2
    zeros = n_cells - _by_gene(gene, count, n_genes)
    u = _by_gene(gene, count * passed, n_genes) + zeros * controls.zeros / 2
    joint = _cubes(count + tied) - _cubes(tied)
    ties = _by_gene(gene, joint, n_genes)
    ties = ties + controls.ties + _cubes(zeros + controls.zeros)
    return _two_sided(u, ties, (n_cells, controls.n))


def _two_sided(
    u: Float[np.ndarray, " genes"], ties: Float[np.ndarray, " genes"], cells: tuple[int, int]
) -> Float[np.ndarray, " genes"]:
    """Return p of the Mann-Whitney U, given the sum of c^3 - c over tied ranks."""
    pairs, n = cells[0] * cells[1], cells[0] + cells[1]
    variance = pairs / 12.0 * ((n + 1.0) - ties / (n * (n - 1.0)))
    p = np.ones_like(u)
    varied = variance > 0
    above = np.maximum(u, pairs - u)[varied] - pairs / 2.0 - 0.5
    p[varied] = np.minimum(2 * ndtr(-above / np.sqrt(variance[varied])), 1.0)
    return p


def _distinct(
    log_values: Sparse,
) -> tuple[Int[np.ndarray, " values"], Float[np.ndarray, " values"]]:
    """Return the sorted keys of gene and value, and how many cells have each."""
    key = log_values.indices.astype(np.int64) << VALUE_BITS
    key += np.rint(log_values.data * 2.0**FRACTION_BITS).astype(np.int64)
    key.sort()
    starts = np.flatnonzero(np.concatenate([[True], key[1:] != key[:-1]])[: len(key)])
    return key[starts], np.diff(starts, append=len(key)).astype(np.float64)


def _by_gene(
    gene: Int[np.ndarray, " values"], amount: Float[np.ndarray, " values"], n_genes: int
) -> Float[np.ndarray, " genes"]:
    """Return sums by gene, as floats also where there is nothing to sum."""
    return np.bincount(gene, weights=amount, minlength=n_genes).astype(np.float64)


def _cubes(count: Float[np.ndarray, " counts"]) -> Float[np.ndarray, " counts"]:
    cubes: Float[np.ndarray, " counts"] = count**3 - count
    return cubes


def keep_genes(values: Sparse, kept: Bool[np.ndarray, " genes"]) -> Sparse:
    """Return the columns ``kept``, as indexing would, without sorting."""
    number = np.cumsum(kept) - 1
    stays = kept[values.indices]
    before = np.concatenate([[0], np.cumsum(stays)])
    return sp.csr_matrix(
        (values.data[stays], number[values.indices[stays]], before[values.indptr]),
        shape=(values.shape[0], int(kept.sum())),
    )
