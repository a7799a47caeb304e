"""What Geneformer says of cells and genes: embeddings, and what becomes of them without a gene.

Rows are in the order of the cells, always. Upstream's table is sorted by the length of the cells,
which has misaligned a published benchmark.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from leaderboard.errors import PredictionError
from leaderboard.models._batches import length_batches
from leaderboard.models._geneformer import Geneformer
from leaderboard.models._geneformer_tokens import Tokens, joined

BATCH_TOKENS = {"cuda": 65_536, "cpu": 1_024}
"""By device. A CPU is busy with one long cell; what leaves its caches makes it slower."""

Progress = Callable[[int, int], None]
"""Is told how many cells are done, and of how many."""


@dataclass(frozen=True, kw_only=True)
class Asking:
    """How a network is asked."""

    layer: int = -1
    """0: the last; -1, upstream's choice: the one before it; down to the input of the first."""
    pooling: Literal["mean", "cls"] = "mean"
    """Mean over a cell's genes, without <cls> and <eos>; or the state of <cls> (V2)."""
    batch_tokens: int | None = None
    """Tokens of a batch at most, padding included; None: ``BATCH_TOKENS`` of the device."""
    mixed_precision: bool = True
    """On CUDA the layers run in bfloat16; elsewhere, and if not, in the type of the weights."""
    progress: Progress | None = None


@dataclass(frozen=True, kw_only=True, eq=False)
class CellEmbedding:
    """Where a network places cells."""

    places: Float[np.ndarray, "cells dims"]
    """In the order of the cells; zeros where a cell has no gene that the network knows."""
    is_empty: Bool[np.ndarray, " cells"]
    """Which cells those are."""


@dataclass(frozen=True, kw_only=True, eq=False)
class GeneEmbedding:
    """Where a network places the genes of some cells, averaged over the cells that hold them."""

    places: Float[np.ndarray, "vocabulary dims"]
    """By token; zeros where no cell holds it."""
    n_cells: Int[np.ndarray, " vocabulary"]


@dataclass(frozen=True, kw_only=True)
class Perturbation:
    """What is done to some genes of every cell, named by their tokens."""

    genes: tuple[int, ...]
    kind: Literal["delete", "overexpress"] = "delete"
    """Taken out; or put first, in the order given, whether the cell had them or not."""


@dataclass(frozen=True, kw_only=True, eq=False)
class PerturbedEmbedding:
    """Where a network places cells after a perturbation of their genes."""

    places: Float[np.ndarray, "cells dims"]
    present_fraction: tuple[float, ...]
    """For each gene perturbed, the cells that had it: a deletion does nothing to the others."""


def embed_cells(network: Geneformer, tokens: Tokens, asking: Asking) -> CellEmbedding:
    """Return an embedding of each cell, on the device where the network is.

    The order of the cells and the size of batches change nothing beyond rounding. Means are taken
    in float32.

    Raises
    ------
    PredictionError
        If no cell has a gene, the layer is not there, or <cls> is asked of cells without.
    """
    depth = _depth(network, tokens, asking)
    places = np.zeros((len(tokens), network.shape.hidden_size), dtype=np.float32)
    for members, hidden, is_gene in _hidden_states(network, tokens, depth, asking):
        places[members] = _pooled(hidden, is_gene, asking.pooling).cpu().numpy()
    return CellEmbedding(places=places, is_empty=tokens.n_genes == 0)


def _pooled(
    hidden: Float[Tensor, "cells ranks dims"], is_gene: Bool[Tensor, "cells ranks"], pooling: str
) -> Float[Tensor, "cells dims"]:
    if pooling == "cls":
        return hidden[:, 0].float()
    weight = is_gene.float() / is_gene.sum(dim=1, keepdim=True)
    return torch.einsum("crd,cr->cd", hidden.float(), weight)


def embed_genes(network: Geneformer, tokens: Tokens, asking: Asking) -> GeneEmbedding:
    """Return the mean hidden state of every gene over the cells that hold it.

    For an embedding that no cell has a say in, see ``Geneformer.gene_table``.

    Raises
    ------
    PredictionError
        If no cell has a gene, or the layer is not there.
    """
    depth = _depth(network, tokens, asking)
    device = network.gene_table.device
    sums = torch.zeros(network.gene_table.shape, dtype=torch.float64, device=device)
    n_cells = torch.zeros(len(sums), dtype=torch.int64, device=device)
    for members, hidden, is_gene in _hidden_states(network, tokens, depth, asking):
        ids = padded(tokens, members, device)[is_gene]
        sums.index_add_(0, ids, hidden[is_gene].double())
        n_cells += torch.bincount(ids, minlength=len(n_cells))
    means = sums / n_cells.clamp(min=1)[:, None]
    return GeneEmbedding(places=means.float().cpu().numpy(), n_cells=n_cells.cpu().numpy())


def embed_perturbed(
    network: Geneformer,
    tokens: Tokens,
    perturbation: Perturbation,
    before: CellEmbedding,
    asking: Asking,
) -> PerturbedEmbedding:
    """Return the embedding of each cell after some of its genes were deleted or put first.

    Only cells that the perturbation can change are computed; the others keep ``before``, their
    embedding as they are, asked the same way. A cell that loses its last gene is placed at zero.

    Raises
    ------
    PredictionError
        If a gene is a special token or none of the network's, or as for ``embed_cells``.
    """
    _check_genes(network, tokens, perturbation)
    present = np.stack([tokens.holders(gene) for gene in perturbation.genes])
    is_touched = present.any(axis=0) | (perturbation.kind == "overexpress")
    touched = np.flatnonzero(is_touched)
    after = perturbed(tokens.cells(touched), perturbation, network.shape.max_position_embeddings)
    places = before.places.copy()
    if (after.n_genes > 0).any():
        places[touched] = embed_cells(network, after, asking).places
    else:
        places[touched] = 0
    fractions = tuple(float(fraction) for fraction in present.mean(axis=1))
    return PerturbedEmbedding(places=places, present_fraction=fractions)


def perturbed(tokens: Tokens, perturbation: Perturbation, max_tokens: int) -> Tokens:
    """Return what the cells are after a perturbation.

    A deletion moves the genes behind it up, and nothing fills the last rank. What is put first
    comes after <cls>; where that is too much, the lowest gene goes.
    """
    genes = np.array(perturbation.genes, dtype=np.int32)
    first = genes if perturbation.kind == "overexpress" else genes[:0]
    frame = int(tokens.is_framed)
    cells = []
    for number in range(len(tokens)):
        cell = tokens.cell(number)
        head, tail = cell[:frame], cell[len(cell) - frame :]
        own = cell[frame : len(cell) - frame]
        room = max_tokens - 2 * frame
        own = np.concatenate([first, own[~np.isin(own, genes)]])[:room]
        cells.append(np.concatenate([head, own, tail]))
    return joined(cells, is_framed=tokens.is_framed)


def _check_genes(network: Geneformer, tokens: Tokens, perturbation: Perturbation) -> None:
    special = 4 if tokens.is_framed else 2
    wrong = [g for g in perturbation.genes if not special <= g < network.shape.vocab_size]
    if wrong or not perturbation.genes:
        raise PredictionError(
            f"Geneformer: expected tokens of genes, {special} to {network.shape.vocab_size - 1}, "
            f"to perturb, got {wrong or 'none'}. Leave out genes without a token."
        )


def _depth(network: Geneformer, tokens: Tokens, asking: Asking) -> int:
    """Return how many layers are run, after checks of what is asked."""
    n_layers = len(network.layers)
    if not -n_layers <= asking.layer <= 0:
        raise PredictionError(
            f"Geneformer: expected a layer from {-n_layers} to 0, the last, got {asking.layer}."
        )
    if asking.pooling == "cls" and not tokens.is_framed:
        raise PredictionError(
            "Geneformer: <cls> is asked of tokens that have none, as those of V1. Ask for `mean`."
        )
    if not (tokens.n_genes > 0).any():
        raise PredictionError(
            f"Geneformer: none of {len(tokens)} cells has a gene with a token, so there is nothing "
            "to embed. Check the names of the genes."
        )
    if tokens.lengths.max() > network.shape.max_position_embeddings:
        raise PredictionError(
            f"Geneformer: expected {network.shape.max_position_embeddings} tokens a cell at most, "
            f"got {tokens.lengths.max()}. Tokenise for this network."
        )
    return n_layers + asking.layer


def _hidden_states(
    network: Geneformer, tokens: Tokens, depth: int, asking: Asking
) -> Iterator[tuple[np.ndarray, Tensor, Tensor]]:
    """Yield (cells, hidden states, which are of genes) of batches; cells without genes are not."""
    cells = np.flatnonzero(tokens.n_genes > 0)
    lengths = tokens.lengths
    device = network.gene_table.device
    done = 0
    most = asking.batch_tokens or BATCH_TOKENS.get(device.type, BATCH_TOKENS["cpu"])
    is_mixed = asking.mixed_precision and device.type == "cuda"
    was_training = network.training
    network.eval()
    try:
        for batch in length_batches(lengths[cells], most):
            members = cells[batch]
            ids = padded(tokens, members, device)
            length = torch.as_tensor(lengths[members], device=device)[:, None]
            rank = torch.arange(ids.shape[1], device=device)
            is_ragged = lengths[members[-1]] < ids.shape[1]
            with (
                torch.inference_mode(),
                torch.autocast(device.type, torch.bfloat16, enabled=is_mixed),
            ):
                hidden = network(ids, rank < length if is_ragged else None, depth)
            frame = int(tokens.is_framed)
            yield members, hidden, (rank >= frame) & (rank < length - frame)
            done += len(members)
            if asking.progress:
                asking.progress(done, len(cells))
    finally:
        network.train(was_training)


def padded(
    tokens: Tokens, members: Sequence[int] | np.ndarray, device: torch.device
) -> Int[Tensor, "members ranks"]:
    """Return tokens of some cells, filled up with <pad>."""
    own = [tokens.cell(int(k)) for k in members]
    ids = np.zeros((len(own), max(len(cell) for cell in own)), dtype=np.int64)
    for row, cell in zip(ids, own, strict=True):
        row[: len(cell)] = cell
    return torch.as_tensor(ids, device=device)
