"""Hash cells by their counts, a chunk of rows at a time: equal counts on equal genes, equal hashes.

A hash is two sums of counts times coefficients, modulo 2^64; a gene's coefficients follow from its
name. So neither the order of genes nor the rest of a panel matters, and the hash on a subset of the
genes is the same sum over fewer terms. Two given cells that differ anywhere collide with a
probability of about 2^-128, times a small power of two if all their differences are even.
"""

import hashlib
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
from jaxtyping import Float, Int, UInt64
from numpy.typing import NDArray
from scipy import sparse

CHUNK = 8192
"""Rows looked at together."""


def iterate_rows(counts: Any, chunk: int = CHUNK) -> Iterator[tuple[slice, sparse.csr_matrix]]:
    """Yield slices of rows with their counts; ``counts`` is a matrix in memory or in a file."""
    n_cells = counts.shape[0]
    for start in range(0, n_cells, chunk):
        rows = slice(start, min(start + chunk, n_cells))
        yield rows, sparse.csr_matrix(counts[rows])


def take_rows(counts: Any, rows: NDArray[np.int64], chunk: int = CHUNK) -> sparse.csr_matrix:
    """Return some rows, which are sorted, in one pass over the chunks that hold any."""
    blocks = [sparse.csr_matrix(np.empty((0, counts.shape[1]), dtype=np.float32))]
    for start in np.unique(rows // chunk) * chunk:
        inside = rows[(rows >= start) & (rows < start + chunk)] - start
        blocks.append(sparse.csr_matrix(counts[start : start + chunk])[inside])
    return sparse.csr_matrix(sparse.vstack(blocks, format="csr"))


def gene_coefficients(genes: Iterable[str]) -> UInt64[np.ndarray, "genes 2"]:
    """Return the two coefficients of every gene, from its name alone."""
    digests = b"".join(hashlib.blake2b(str(g).encode(), digest_size=16).digest() for g in genes)
    return np.frombuffer(digests, dtype="<u8").reshape(-1, 2)


def hash_block(
    block: sparse.csr_matrix, coefficients: UInt64[np.ndarray, "genes columns"]
) -> UInt64[np.ndarray, "cells columns"]:
    """Return the sums of counts times coefficients, modulo 2^64.

    Parameters
    ----------
    block
        Whole non-negative counts, cells x genes, of any number type.
    """
    whole = sparse.csr_matrix(
        (block.data.astype(np.uint64), block.indices, block.indptr), shape=block.shape
    )
    return np.asarray(whole @ coefficients, dtype=np.uint64)


def group_equal(hashes: UInt64[np.ndarray, "cells 2"]) -> Int[np.ndarray, " cells"]:
    """Return for every cell the first cell with the same hash: itself if there is none before."""
    order = np.lexsort((np.arange(len(hashes)), hashes[:, 1], hashes[:, 0]))
    ordered = hashes[order]
    is_new = np.ones(len(hashes), dtype=bool)
    is_new[1:] = (ordered[1:] != ordered[:-1]).any(axis=1)
    first = np.empty(len(hashes), dtype=np.int64)
    first[order] = order[is_new][np.cumsum(is_new) - 1]
    return first


def total_counts(block: sparse.csr_matrix) -> Float[np.ndarray, " cells"]:
    """Return the sum of every row."""
    return np.asarray(block.sum(axis=1), dtype=np.float64).ravel()
