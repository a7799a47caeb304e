"""What it takes to pretrain a small Geneformer here: dictionaries of a corpus, and masked genes."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional

from leaderboard.errors import PredictionError
from leaderboard.models._geneformer import Geneformer
from leaderboard.models._geneformer_dictionaries import CLS, EOS, MASK, PAD, Dictionaries
from leaderboard.profiles import Counts, cell_scale

TARGET_SUM = 10_000.0
UNMASKED = -100
"""The label of a token that is not to be guessed: what torch's cross entropy leaves out."""


@dataclass(frozen=True, kw_only=True)
class Masking:
    """How genes are hidden; the shares are BERT's, which Geneformer keeps."""

    chosen_fraction: float = 0.15
    """Genes that are to be guessed, of all genes."""
    hidden_fraction: float = 0.8
    """Of those, replaced by <mask>."""
    swapped_fraction: float = 0.1
    """Of those, replaced by any gene; the rest stay as they are."""


def corpus_dictionaries(
    counts: Counts,
    names: Sequence[str],
    totals: Float[np.ndarray, " cells"],
    *,
    is_framed: bool = False,
) -> Dictionaries:
    """Return tokens and medians of the genes that some cells express, in the order of columns.

    Parameters
    ----------
    counts
        Raw counts of the corpus, cells x columns.
    names
        Of the columns, each once: they are taken for ids as they are.
    totals
        Of each cell over all genes, those outside the panel too: what medians are scaled by.
    is_framed
        Whether cells are to be between <cls> and <eos> (V2).

    Raises
    ------
    PredictionError
        If a name stands twice, or no gene is expressed.
    """
    if len(set(names)) < len(names):
        raise PredictionError("Geneformer: expected each gene once in a corpus. Sum its columns.")
    scale = cell_scale(np.asarray(totals, dtype=np.float64), TARGET_SUM)
    columns = counts.multiply(scale[:, None]).tocsc()
    columns.eliminate_zeros()
    parts = np.split(columns.data, columns.indptr[1:-1])
    median = {n: float(np.median(own)) for n, own in zip(names, parts, strict=True) if len(own)}
    if not median:
        raise PredictionError("Geneformer: no gene of the corpus has a count. Give raw counts.")
    special = [PAD, MASK, *([CLS, EOS] if is_framed else [])]
    token = {name: number for number, name in enumerate([*special, *median])}
    return Dictionaries(token=token, median=median)


def masked(
    tokens: Int[Tensor, "cells ranks"],
    dictionaries: Dictionaries,
    masking: Masking,
    generator: torch.Generator,
) -> tuple[Int[Tensor, "cells ranks"], Int[Tensor, "cells ranks"]]:
    """Return what the network is shown, and the gene to guess at each rank or ``UNMASKED``.

    Padding, <cls> and <eos> are never chosen. ``generator`` is of the device of ``tokens``.
    """
    first, last = dictionaries.n_special, len(dictionaries.token)

    def drawn() -> Float[Tensor, "cells ranks"]:
        return torch.rand(tokens.shape, generator=generator, device=tokens.device)

    is_chosen: Bool[Tensor, "cells ranks"] = (tokens >= first) & (drawn() < masking.chosen_fraction)
    fate = drawn()
    is_hidden = is_chosen & (fate < masking.hidden_fraction)
    is_swapped = (
        is_chosen & ~is_hidden & (fate < masking.hidden_fraction + masking.swapped_fraction)
    )
    others = (first + drawn() * (last - first)).long().clamp(max=last - 1)
    shown = torch.where(is_swapped, others, tokens)
    shown = shown.masked_fill(is_hidden, dictionaries.token[MASK])
    return shown, tokens.masked_fill(~is_chosen, UNMASKED)


def masked_loss(
    network: Geneformer,
    shown: Int[Tensor, "cells ranks"],
    is_real: Bool[Tensor, "cells ranks"] | None,
    truth: Int[Tensor, "cells ranks"],
) -> Float[Tensor, ""]:
    """Return the mean cross entropy of the genes to guess; 0 if there is none.

    Scores are computed where something is to be guessed only: they are the largest array by far.
    """
    is_asked = truth != UNMASKED
    logits = network.logits(network(shown, is_real)[is_asked])
    total = functional.cross_entropy(logits.float(), truth[is_asked], reduction="sum")
    return total / is_asked.sum().clamp(min=1)
