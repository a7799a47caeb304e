"""The network of Geneformer (Theodoris et al. 2023, doi:10.1038/s41586-023-06139-9), in torch.

A BERT encoder over the genes of a cell, highest rank first, with a masked-gene head whose decoder
is the table of gene embeddings. Settings and parameters have the names and shapes of the official
``config.json`` and ``model.safetensors``, so a state dict needs no translation.
"""

import math
from dataclasses import dataclass
from typing import cast

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional


@dataclass(frozen=True, kw_only=True)
class Shape:
    """Sizes and rates of a network; the defaults are those of Geneformer-V1-10M."""

    vocab_size: int
    """Genes and special tokens; token 0 is padding."""
    hidden_size: int = 256
    num_hidden_layers: int = 6
    num_attention_heads: int = 4
    intermediate_size: int = 512
    max_position_embeddings: int = 2048
    """Tokens of a cell at most."""
    type_vocab_size: int = 2
    layer_norm_eps: float = 1e-12
    hidden_dropout_prob: float = 0.02
    attention_probs_dropout_prob: float = 0.02
    initializer_range: float = 0.02
    """Standard deviation of weights before training."""


class Embeddings(nn.Module):
    """What a gene is + at which rank it stands; every token is of type 0."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        width = shape.hidden_size
        self.word_embeddings = nn.Embedding(shape.vocab_size, width)
        self.position_embeddings = nn.Embedding(shape.max_position_embeddings, width)
        self.token_type_embeddings = nn.Embedding(shape.type_vocab_size, width)
        self.LayerNorm = nn.LayerNorm(width, eps=shape.layer_norm_eps)
        self.dropout = nn.Dropout(shape.hidden_dropout_prob)

    def forward(self, tokens: Int[Tensor, "cells ranks"]) -> Float[Tensor, "cells ranks dims"]:
        """Return the sum of the three, normalised."""
        place = self.position_embeddings.weight[: tokens.shape[1]]
        x = self.word_embeddings(tokens) + (place + self.token_type_embeddings.weight[0])
        return cast(Tensor, self.dropout(self.LayerNorm(x)))


class SelfAttention(nn.Module):
    """Every token asks every real token of its cell."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        width = shape.hidden_size
        self.query, self.key, self.value = (nn.Linear(width, width) for _ in range(3))
        self.heads = shape.num_attention_heads
        self.dropout = shape.attention_probs_dropout_prob

    def forward(
        self, x: Float[Tensor, "cells ranks dims"], mask: Bool[Tensor, "cells 1 1 ranks"] | None
    ) -> Float[Tensor, "cells ranks dims"]:
        """Return what was heard; ``mask`` is true where a token is real, None if all are."""
        heard = functional.scaled_dot_product_attention(
            self._split(self.query(x)),
            self._split(self.key(x)),
            self._split(self.value(x)),
            attn_mask=mask,
            dropout_p=self.dropout if self.training else 0.0,
        )
        return heard.transpose(1, 2).flatten(2)

    def weights(self, x: Float[Tensor, "1 ranks dims"]) -> Float[Tensor, "heads ranks ranks"]:
        """Return how much each token (row) of one cell hears of each (column)."""
        query, key = self._split(self.query(x))[0], self._split(self.key(x))[0]
        score = query @ key.transpose(1, 2) / math.sqrt(query.shape[-1])
        return score.softmax(dim=-1)

    def _split(self, x: Tensor) -> Float[Tensor, "cells heads ranks dims"]:
        return x.view(*x.shape[:2], self.heads, -1).transpose(1, 2)


class Residual(nn.Module):
    """A linear map, added to what went in before, normalised."""

    def __init__(self, width: int, shape: Shape) -> None:
        super().__init__()
        self.dense = nn.Linear(width, shape.hidden_size)
        self.LayerNorm = nn.LayerNorm(shape.hidden_size, eps=shape.layer_norm_eps)
        self.dropout = nn.Dropout(shape.hidden_dropout_prob)

    def forward(self, x: Tensor, before: Tensor) -> Tensor:
        """Return tokens x dims, as ``before`` is."""
        return cast(Tensor, self.LayerNorm(before + self.dropout(self.dense(x))))


class Layer(nn.Module):
    """Attention, then two linear maps with ReLU between; normalised after each."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        width = shape.hidden_size
        parts = {"self": SelfAttention(shape), "output": Residual(width, shape)}
        self.attention = nn.ModuleDict(parts)
        self.intermediate = nn.ModuleDict({"dense": nn.Linear(width, shape.intermediate_size)})
        self.output = Residual(shape.intermediate_size, shape)

    def forward(self, x: Tensor, mask: Tensor | None) -> Float[Tensor, "cells ranks dims"]:
        """Return the next hidden states."""
        x = self.attention["output"](self.attention["self"](x, mask), x)
        return cast(Tensor, self.output(self.intermediate["dense"](x).relu_(), x))


class Head(nn.Module):
    """From a hidden state to the scores of all tokens; the decoder is the table it is given."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        width = shape.hidden_size
        norm = nn.LayerNorm(width, eps=shape.layer_norm_eps)
        self.transform = nn.ModuleDict({"dense": nn.Linear(width, width), "LayerNorm": norm})
        self.bias = nn.Parameter(torch.zeros(shape.vocab_size))

    def forward(
        self, x: Float[Tensor, "*any dims"], table: Float[Tensor, "vocabulary dims"]
    ) -> Float[Tensor, "*any vocabulary"]:
        """Return logits."""
        x = self.transform["LayerNorm"](self.transform["dense"](x).relu_())
        return functional.linear(x, table, self.bias)


class Geneformer(nn.Module):
    """Hidden states of the genes of cells, and what gene a hidden state speaks of."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        layers = nn.ModuleList(Layer(shape) for _ in range(shape.num_hidden_layers))
        encoder = nn.ModuleDict({"layer": layers})
        self.bert = nn.ModuleDict({"embeddings": Embeddings(shape), "encoder": encoder})
        self.cls = nn.ModuleDict({"predictions": Head(shape)})
        self.apply(self._start)

    def _start(self, part: nn.Module) -> None:
        if isinstance(part, nn.Linear | nn.Embedding):
            nn.init.normal_(part.weight, std=self.shape.initializer_range)
        if isinstance(part, nn.Linear):
            nn.init.zeros_(part.bias)

    @property
    def embeddings(self) -> Embeddings:
        """What is added up before the first layer."""
        return cast(Embeddings, self.bert["embeddings"])

    @property
    def layers(self) -> nn.ModuleList:
        """The layers, first to last."""
        return cast(nn.ModuleList, cast(nn.ModuleDict, self.bert["encoder"])["layer"])

    @property
    def gene_table(self) -> Float[Tensor, "vocabulary dims"]:
        """The input embedding of every token: no cell has a say in it."""
        return self.embeddings.word_embeddings.weight

    def forward(
        self,
        tokens: Int[Tensor, "cells ranks"],
        is_real: Bool[Tensor, "cells ranks"] | None = None,
        n_layers: int | None = None,
    ) -> Float[Tensor, "cells ranks dims"]:
        """Return the hidden states after ``n_layers`` layers, 0 to all; None: all.

        ``is_real`` is false on padding; None says that there is none, which runs faster. States of
        padding mean nothing.
        """
        x = self.embeddings(tokens)
        mask = None if is_real is None else is_real[:, None, None, :]
        for layer in self.layers[:n_layers]:
            x = layer(x, mask)
        return cast(Tensor, x)

    def logits(self, hidden: Float[Tensor, "*any dims"]) -> Float[Tensor, "*any vocabulary"]:
        """Return the scores of all tokens for some of the last hidden states."""
        return cast(Tensor, self.cls["predictions"](hidden, self.gene_table))

    def attention(
        self, tokens: Int[Tensor, " ranks"], number: int
    ) -> Float[Tensor, "heads ranks ranks"]:
        """Return the attention weights of one cell in layer ``number``, 0 to the last.

        Rows hear columns; each row sums to 1.
        """
        before = self(tokens[None], n_layers=number)
        layer = cast(Layer, self.layers[number])
        return cast(SelfAttention, layer.attention["self"]).weights(before)
