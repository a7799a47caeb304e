"""Embeddings of cells and of genes by scGPT, in the order that they were asked for."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int, Shaped
from torch import Tensor
from torch.nn import functional as F  # noqa: N812  (the name that torch's own pages use)

from leaderboard.models._batches import length_batches
from leaderboard.models._scgpt import Batch, ScGpt
from leaderboard.models._scgpt_tokens import Encoding, Panel, Tokens, Vocabulary, tokenise

NUMBERS = {"cpu": 2**20, "cuda": 2**25}
"""Numbers in the states of a batch, padding included, by kind of device: on a CPU larger batches
leave the cache and take longer, a GPU needs large ones to be busy."""

Progress = Callable[[int, int], None]
"""Told how many cells are done, and of how many."""


@dataclass(frozen=True, kw_only=True)
class Pace:
    """How a network goes through many cells; the results do not depend on it beyond rounding."""

    max_tokens: int | None = None
    """Tokens of a batch, padding included; None: as many as suit the device."""
    is_mixed: bool = True
    """Whether matrix products are in bfloat16 on a GPU; on a CPU they never are."""
    progress: Progress | None = None


@dataclass(frozen=True, kw_only=True, eq=False)
class GenesInContext:
    """Genes of a panel by what the network makes of them in cells."""

    places: Float[np.ndarray, "genes dims"]
    """Mean state of the gene's token; zero where no cell showed it."""
    n_cells: Int[np.ndarray, " genes"]
    """Cells that showed it."""


@torch.inference_mode()
def embed_cells(
    network: ScGpt, panel: Panel, encoding: Encoding, pace: Pace | None = None
) -> Float[np.ndarray, "cells dims"]:
    """Return the state of every cell's own token, scaled to length 1, in the panel's order.

    A cell without a count of a known gene gets the place of its own token alone: the same for all
    such cells, and counted in the panel's coverage.
    """
    pace = pace or Pace()
    device = network.encoder.embedding.weight.device
    places = torch.empty(len(panel.cell_ids), network.shape.dims, device=device)
    with _evaluating(network), _mixed(device, pace):
        for rows, _, batch in _batches(network, panel, encoding, pace):
            places[_moved(rows, device)] = F.normalize(network.cells(batch).float(), dim=1)
    return places.cpu().numpy()


@torch.inference_mode()
def embed_genes(
    network: ScGpt, vocabulary: Vocabulary, symbols: Sequence[str]
) -> tuple[Float[np.ndarray, "genes dims"], Bool[np.ndarray, " genes"]]:
    """Return what the network knows of genes before it sees a cell, and which genes it knows.

    These are the normalised embeddings of their ids; a gene that it does not know is a row of 0.
    """
    ids = vocabulary.genes(symbols)
    is_known = ids >= 0
    places = np.zeros((len(ids), network.shape.dims), dtype=np.float32)
    asked = _moved(ids[is_known], network.encoder.embedding.weight.device)
    places[is_known] = network.encoder(asked).float().cpu().numpy()
    return places, is_known


@torch.inference_mode()
def embed_genes_in_context(
    network: ScGpt, panel: Panel, encoding: Encoding, pace: Pace | None = None
) -> GenesInContext:
    """Return the mean over cells of every known gene's state, in the order of ``panel.genes``."""
    pace = pace or Pace()
    device = network.encoder.embedding.weight.device
    n_genes = len(panel.genes)
    # The last row takes what is no gene: the cells' own tokens and padding.
    sums = torch.zeros(n_genes + 1, network.shape.dims, dtype=torch.float64, device=device)
    n_cells = np.zeros(n_genes + 1, dtype=np.int64)
    column = np.full(network.shape.n_tokens, n_genes)
    column[panel.genes] = np.arange(n_genes)
    with _evaluating(network), _mixed(device, pace):
        for _, tokens, batch in _batches(network, panel, encoding, pace):
            place = column[tokens.genes].ravel()
            states = network(batch).flatten(0, 1)
            sums.index_add_(0, _moved(place, device), states.double())
            n_cells += np.bincount(place, minlength=n_genes + 1)
    means = sums[:-1].cpu().numpy() / np.maximum(n_cells[:-1], 1)[:, None]
    return GenesInContext(places=means.astype(np.float32), n_cells=n_cells[:-1])


def _batches(
    network: ScGpt, panel: Panel, encoding: Encoding, pace: Pace
) -> Iterator[tuple[Int[np.ndarray, " cells"], Tokens, Batch]]:
    """Yield batches of cells of like length: their rows, their tokens, the same on the device."""
    device = network.encoder.embedding.weight.device
    suits = NUMBERS.get(device.type, NUMBERS["cpu"]) // network.shape.dims
    done = 0
    for rows in length_batches(panel.lengths(encoding), pace.max_tokens or suits):
        tokens = tokenise(panel, rows, encoding)
        yield rows, tokens, to_batch(tokens, device)
        done += len(rows)
        if pace.progress is not None:
            pace.progress(done, len(panel.cell_ids))


def to_batch(tokens: Tokens, device: torch.device) -> Batch:
    """Return tokens as the network takes them; without padding there is nothing to mask."""
    longest = tokens.genes.shape[1]
    kept = np.arange(longest) < tokens.lengths[:, None]
    return Batch(
        genes=_moved(tokens.genes, device),
        values=_moved(tokens.values, device),
        kept=None if kept.all() else _moved(kept, device),
    )


def _moved(values: Shaped[np.ndarray, "*any"], device: torch.device) -> Tensor:
    """Return an array on a device; a GPU goes on with its work meanwhile."""
    tensor = torch.from_numpy(values)
    if device.type != "cuda":
        return tensor.to(device)
    return tensor.pin_memory().to(device, non_blocking=True)


def _mixed(device: torch.device, pace: Pace) -> torch.autocast:
    is_mixed = pace.is_mixed and device.type == "cuda"
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=is_mixed)


@contextmanager
def _evaluating(network: ScGpt) -> Iterator[None]:
    """Turn dropout off, and on again if it was on."""
    was_training = network.training
    network.eval()
    try:
        yield
    finally:
        network.train(was_training)
