"""The network of scGPT (Cui et al. 2024, doi:10.1038/s41592-024-02201-0), in torch alone.

A token is a gene and its value; the first token of a cell stands for the cell. Parameters have the
names and shapes of the published files (``_scgpt_checkpoint`` reads them), so one network serves
published weights, random ones and those trained here.
"""

from dataclasses import dataclass
from typing import cast

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812  (the name that torch's own pages use)

States = Float[Tensor, "cells tokens dims"]
Values = Float[Tensor, "cells tokens"]
Kept = Bool[Tensor, "cells tokens"]

LARGEST_VALUE = 512
"""Values are clipped to it before they are encoded."""
SPREAD = 0.1
"""Embeddings of genes start uniform within it."""
N_FLAGS = 3
"""Rows of the table of flags in the published perturbation network; 0: not perturbed."""


@dataclass(frozen=True, kw_only=True)
class Shape:
    """Sizes of the network; the defaults are those of the published whole-human model."""

    n_tokens: int
    """Genes and special tokens."""
    pad: int
    """Id of the token that fills up short cells; its embedding is never trained."""
    dims: int = 512
    hidden: int = 512
    heads: int = 8
    layers: int = 12
    dropout: float = 0.2
    has_cell_decoder: bool = True
    """Whether values are also predicted from the cell's own token (MVC)."""
    is_perturbation: bool = False
    """Whether it is the variant that predicts a perturbed cell from a control cell."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Batch:
    """Cells as the network sees them; the first token of each is the cell's own."""

    genes: Int[Tensor, "cells tokens"]
    values: Values
    kept: Kept | None = None
    """Which tokens are no padding; None: all."""
    flags: Int[Tensor, "cells tokens"] | None = None
    """Perturbation variant: 1 where the gene is perturbed."""


class GeneEncoder(nn.Module):
    """What a gene is, whatever its value."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.embedding = nn.Embedding(shape.n_tokens, shape.dims, padding_idx=shape.pad)
        self.enc_norm = nn.LayerNorm(shape.dims)
        nn.init.uniform_(self.embedding.weight, -SPREAD, SPREAD)

    def forward(self, genes: Int[Tensor, "*any"]) -> Float[Tensor, "*any dims"]:
        """Return normalised embeddings."""
        return cast(Tensor, self.enc_norm(self.embedding(genes)))


class ValueEncoder(nn.Module):
    """What a value is, whatever its gene."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.linear1 = nn.Linear(1, shape.dims)
        self.linear2 = nn.Linear(shape.dims, shape.dims)
        self.norm = nn.LayerNorm(shape.dims)
        self.dropout = nn.Dropout(shape.dropout)

    def forward(self, values: Values) -> States:
        """Return normalised codes."""
        raised = torch.relu(self.linear1(values.clamp(max=LARGEST_VALUE)[..., None]))
        return cast(Tensor, self.dropout(self.norm(self.linear2(raised))))


class Attention(nn.Module):
    """Self-attention over the tokens of a cell that are no padding."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.Wqkv = nn.Linear(shape.dims, 3 * shape.dims)
        self.out_proj = nn.Linear(shape.dims, shape.dims)
        self.heads, self.dropout = shape.heads, shape.dropout

    def forward(self, x: States, kept: Kept | None, asked: int | None) -> States:
        """Return what the first ``asked`` tokens, or all, hear from the others."""
        dims = x.shape[-1]
        weight, bias = self.Wqkv.weight, self.Wqkv.bias
        query = F.linear(x[:, :asked], weight[:dims], bias[:dims])
        key, value = F.linear(x, weight[dims:], bias[dims:]).chunk(2, dim=-1)
        heard = F.scaled_dot_product_attention(
            self._by_head(query),
            self._by_head(key),
            self._by_head(value),
            attn_mask=None if kept is None else kept[:, None, None, :],
            dropout_p=self.dropout if self.training else 0.0,
        )
        return cast(Tensor, self.out_proj(heard.transpose(1, 2).flatten(2)))

    def _by_head(self, x: States) -> Float[Tensor, "cells heads tokens part"]:
        n_cells, n_tokens, dims = x.shape
        return x.view(n_cells, n_tokens, self.heads, dims // self.heads).transpose(1, 2)


class Block(nn.Module):
    """Attention, then a perceptron for every token; normalised after each."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.self_attn = Attention(shape)
        self.linear1 = nn.Linear(shape.dims, shape.hidden)
        self.linear2 = nn.Linear(shape.hidden, shape.dims)
        self.norm1, self.norm2 = nn.LayerNorm(shape.dims), nn.LayerNorm(shape.dims)
        self.dropout = nn.Dropout(shape.dropout)

    def forward(self, x: States, kept: Kept | None, asked: int | None = None) -> States:
        """Return the first ``asked`` tokens, or all, after this block."""
        heard = self.self_attn(x, kept, asked)
        x = self.norm1(x[:, :asked] + self.dropout(heard))
        raised = self.linear2(self.dropout(torch.relu(self.linear1(x))))
        return cast(Tensor, self.norm2(x + self.dropout(raised)))


class Transformer(nn.Module):
    """The blocks, one after the other."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.layers = nn.ModuleList(Block(shape) for _ in range(shape.layers))

    def forward(self, x: States, kept: Kept | None, asked: int | None = None) -> States:
        """Return the first ``asked`` tokens, or all, after the last block.

        Nothing reads the others after it, so the last block computes no more than is asked for.
        """
        last = len(self.layers) - 1
        for number, layer in enumerate(self.layers):
            x = layer(x, kept, asked if number == last else None)
        return x


class ExpressionDecoder(nn.Module):
    """A number for every token, from its state."""

    def __init__(self, dims: int) -> None:
        super().__init__()
        layers = [nn.Linear(dims, dims), nn.LeakyReLU(), nn.Linear(dims, dims), nn.LeakyReLU()]
        self.fc = nn.Sequential(*layers, nn.Linear(dims, 1))

    def forward(self, states: States) -> Values:
        """Return the numbers."""
        return cast(Tensor, self.fc(states)[..., 0])


class AffineDecoder(nn.Module):
    """The value that a token had, times a number, plus a number, both from its state."""

    def __init__(self, dims: int) -> None:
        super().__init__()
        self.coeff_decoder = ExpressionDecoder(dims)
        self.bias_decoder = ExpressionDecoder(dims)

    def forward(self, states: States, values: Values) -> Values:
        """Return the values after the perturbation."""
        return cast(Tensor, self.coeff_decoder(states) * values + self.bias_decoder(states))


class CellDecoder(nn.Module):
    """The value of a gene, from the state of the cell and from which gene it is (MVC)."""

    def __init__(self, dims: int) -> None:
        super().__init__()
        self.gene2query = nn.Linear(dims, dims)
        self.W = nn.Linear(dims, dims, bias=False)

    def forward(self, cell: Float[Tensor, "cells dims"], genes: States) -> Values:
        """Return the values; ``genes`` are the codes of the genes, not their states."""
        asked = self.W(torch.sigmoid(self.gene2query(genes)))
        return cast(Tensor, (asked @ cell[..., None])[..., 0])


class ScGpt(nn.Module):
    """States of tokens, and what decoders read from them.

    Parameters
    ----------
    shape
        Sizes; ``heads`` divides ``dims``.
    """

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        self.encoder = GeneEncoder(shape)
        self.value_encoder = ValueEncoder(shape)
        self.transformer_encoder = Transformer(shape)
        self.decoder: nn.Module
        if shape.is_perturbation:
            self.pert_encoder = nn.Embedding(N_FLAGS, shape.dims, padding_idx=0)
            self.decoder = AffineDecoder(shape.dims)
        else:
            self.decoder = ExpressionDecoder(shape.dims)
        if shape.has_cell_decoder:
            self.mvc_decoder = CellDecoder(shape.dims)

    def forward(self, batch: Batch) -> States:
        """Return the state of every token; that of padding means nothing."""
        return cast(Tensor, self.transformer_encoder(self._codes(batch), batch.kept))

    def cells(self, batch: Batch) -> Float[Tensor, "cells dims"]:
        """Return the state of every cell's first token, at less work than those of all."""
        return cast(Tensor, self.transformer_encoder(self._codes(batch), batch.kept, 1)[:, 0])

    def expression(self, batch: Batch, states: States) -> Values:
        """Return the value of every token that its state tells."""
        seen = (batch.values,) if self.shape.is_perturbation else ()
        return cast(Tensor, self.decoder(states, *seen))

    def expression_from_cell(self, batch: Batch, states: States) -> Values:
        """Return the value of every token that the state of its cell tells."""
        return cast(Tensor, self.mvc_decoder(states[:, 0], self.encoder(batch.genes)))

    def _codes(self, batch: Batch) -> States:
        codes = self.encoder(batch.genes) + self.value_encoder(batch.values)
        if self.shape.is_perturbation:
            codes = codes + self.pert_encoder(batch.flags)
        return cast(Tensor, codes)


def random_network(shape: Shape, seed: int) -> ScGpt:
    """Return an untrained network, the same for the same seed; torch's own stream is left alone."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return ScGpt(shape)
