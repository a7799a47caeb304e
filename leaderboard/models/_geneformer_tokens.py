"""Cells as lists of genes, highest rank first: the rank-value encoding of Geneformer.

A count is divided by the total of its cell and by the median of its gene over the training corpus.
The total is one number for all genes of a cell, so it moves no rank, and is left out: a panel and
the transcriptome that it was cut from rank the genes that they share alike.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import scipy.sparse as sp
from jaxtyping import Bool, Float, Int

from leaderboard.errors import PredictionError
from leaderboard.models._geneformer_dictionaries import CLS, EOS, Dictionaries
from leaderboard.profiles import Counts

CHUNK = 4096
"""Cells that are worked on at once: what bounds the memory besides the tokens themselves."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Tokens:
    """Genes of cells by rank, one cell after the other."""

    ids: Int[np.ndarray, " tokens"]
    starts: Int[np.ndarray, " cells_and_end"]
    """Where each cell begins, and where the last one ends."""
    is_framed: bool
    """Whether each cell is between <cls> and <eos> (V2)."""

    def __len__(self) -> int:
        return len(self.starts) - 1

    @property
    def lengths(self) -> Int[np.ndarray, " cells"]:
        """Number of tokens, the frame included."""
        return np.diff(self.starts)

    @property
    def n_genes(self) -> Int[np.ndarray, " cells"]:
        """Number of tokens that are genes."""
        return self.lengths - 2 * self.is_framed

    def cell(self, number: int) -> Int[np.ndarray, " ranks"]:
        """Return the tokens of one cell."""
        return self.ids[self.starts[number] : self.starts[number + 1]]

    def cells(self, numbers: Int[np.ndarray, " chosen"]) -> "Tokens":
        """Return some cells, in the order asked."""
        return joined([self.cell(int(number)) for number in numbers], is_framed=self.is_framed)

    def holders(self, token: int) -> Bool[np.ndarray, " cells"]:
        """Return which cells have a gene among their tokens."""
        places = np.flatnonzero(self.ids == token)
        found = np.zeros(len(self), dtype=bool)
        found[np.searchsorted(self.starts, places, side="right") - 1] = True
        return found


def joined(cells: Sequence[Int[np.ndarray, " _"]], *, is_framed: bool) -> Tokens:
    """Return tokens of several cells as one record."""
    lengths = np.array([len(cell) for cell in cells], dtype=np.int64)
    return Tokens(
        ids=np.concatenate([np.empty(0, dtype=np.int32), *cells]).astype(np.int32),
        starts=np.concatenate([[0], np.cumsum(lengths)]),
        is_framed=is_framed,
    )


@dataclass(frozen=True, kw_only=True)
class Coverage:
    """How much of the data the model is shown."""

    genes_fraction: float
    """Columns with a gene that has a token, of all columns."""
    counts_fraction: float
    """Counts in those columns, of all counts."""
    truncated_fraction: float
    """Cells that have more genes than the model takes."""
    n_empty: int
    """Cells without any gene that has a token."""


@dataclass(frozen=True, kw_only=True, eq=False)
class _Vocabulary:
    """The genes that a matrix and a model share, in the order of their tokens."""

    token: Int[np.ndarray, " genes"]
    median: Float[np.ndarray, " genes"]
    column: sp.csr_matrix
    """Columns x genes: 1 where a column counts a gene; columns of one gene are summed."""


def tokenise(
    counts: Counts, names: Sequence[str], dictionaries: Dictionaries, max_tokens: int
) -> tuple[Tokens, Coverage]:
    """Return the rank-value encoding of every cell, in the order of the cells.

    Among equal values the smaller token is first. No array of cells x genes is made.

    Parameters
    ----------
    counts
        Raw counts, cells x columns.
    names
        Symbol or Ensembl id of each column; a version after a dot is no part of an id.
    dictionaries
        Of the model. Columns of one Ensembl id are summed, in V1 too, where upstream refuses them.
    max_tokens
        What the network takes of a cell; <cls> and <eos> are among them in V2.

    Raises
    ------
    PredictionError
        If no column has a token, or counts are negative or not finite.
    """
    shared = _vocabulary(names, dictionaries)
    is_framed = dictionaries.version == "V2"
    room = max_tokens - 2 * is_framed
    total = np.zeros(2)
    ranked: list[Int[np.ndarray, " _"]] = []
    n_truncated = 0
    for start in range(0, counts.shape[0], CHUNK):
        chunk = sp.csr_matrix(counts[start : start + CHUNK], dtype=np.float64)
        _check_counts(chunk, start)
        seen = sp.csr_matrix(chunk @ shared.column)
        total += chunk.data.sum(), seen.data.sum()
        n_truncated += int(np.sum(np.diff(seen.indptr) > room))
        ranked += _ranked(seen, shared, room)
    n_empty = sum(not len(cell) for cell in ranked)
    if is_framed:
        first, last = dictionaries.token[CLS], dictionaries.token[EOS]
        ranked = [np.concatenate([[first], cell, [last]]) for cell in ranked]
    coverage = Coverage(
        genes_fraction=int(shared.column.sum()) / len(names),
        counts_fraction=float(total[1] / max(total[0], 1.0)),
        truncated_fraction=n_truncated / max(len(ranked), 1),
        n_empty=n_empty,
    )
    return joined(ranked, is_framed=is_framed), coverage


def _vocabulary(names: Sequence[str], dictionaries: Dictionaries) -> _Vocabulary:
    ids = [dictionaries.ensembl_id(name) for name in names]
    known = dictionaries.token.keys() & dictionaries.median.keys()
    columns = np.flatnonzero([gene in known for gene in ids])
    if not len(columns):
        raise PredictionError(
            f"Geneformer: none of {len(names)} genes has a token, such as {', '.join(names[:3])}. "
            "Expected Ensembl ids, or symbols that gene_name_id of the model's dictionaries knows."
        )
    tokens = np.array([dictionaries.token[ids[k]] for k in columns])
    order, place = np.unique(tokens, return_inverse=True)
    gene = {dictionaries.token[ids[k]]: ids[k] for k in columns}
    ones = np.ones(len(columns))
    return _Vocabulary(
        token=order.astype(np.int32),
        median=np.array([dictionaries.median[gene[token]] for token in order]),
        column=sp.csr_matrix((ones, (columns, place)), shape=(len(names), len(order))),
    )


def _check_counts(chunk: sp.csr_matrix, start: int) -> None:
    wrong = np.flatnonzero(~(np.isfinite(chunk.data) & (chunk.data >= 0)))
    if len(wrong):
        cell = start + int(np.searchsorted(chunk.indptr, wrong[0], side="right")) - 1
        raise PredictionError(
            f"Geneformer: expected raw counts of 0 or more, got {chunk.data[wrong[0]]} in cell "
            f"{cell}. Give counts that were not scaled or centred."
        )


def _ranked(seen: sp.csr_matrix, shared: _Vocabulary, room: int) -> list[Int[np.ndarray, " _"]]:
    """Return the tokens of each cell of a chunk, at most ``room``."""
    seen.eliminate_zeros()
    seen.sort_indices()
    tokens = shared.token[seen.indices]
    falling = -seen.data / shared.median[seen.indices]
    bounds = seen.indptr
    # A cell at a time: several times faster than one sort of the chunk by cell and value.
    return [
        tokens[a:b][np.argsort(falling[a:b], kind="stable")[:room]] for a, b in pairwise(bounds)
    ]
