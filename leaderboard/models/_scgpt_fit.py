"""What a small scGPT learns from: some genes of a cell without their values."""

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F  # noqa: N812  (the name that torch's own pages use)

from leaderboard.models._scgpt import ScGpt
from leaderboard.models._scgpt_embed import to_batch
from leaderboard.models._scgpt_tokens import Encoding, Panel, tokenise

MASK_VALUE = -1.0
"""In place of a value that is asked for, as published."""


class MaskedValues:
    """Asks for the bins of hidden values: from the token's state, and from the cell's.

    The masked-value objectives of scGPT's fine-tuning (Cui et al. 2024, GEP and GEPC), not the
    generative attention of its pretraining.
    """

    def __init__(self, network: ScGpt, panel: Panel, encoding: Encoding, share: float) -> None:
        self.network, self.panel, self.encoding, self.share = network, panel, encoding, share
        self.lengths: Int[np.ndarray, " cells"] = panel.lengths(encoding)

    def loss(self, cells: Int[np.ndarray, " batch"], rng: np.random.Generator) -> Float[Tensor, ""]:
        """Return the mean squared error of hidden bins in units of the number of bins, twice."""
        tokens = tokenise(self.panel, cells, self.encoding)
        is_gene = np.arange(tokens.genes.shape[1]) < tokens.lengths[:, None]
        is_gene[:, 0] = False
        hidden = is_gene & (rng.random(is_gene.shape) < self.share)
        if not hidden.any():
            hidden = is_gene
        device = self.network.encoder.embedding.weight.device
        truth = torch.from_numpy(tokens.values[hidden] / self.encoding.n_bins).to(device)
        tokens.values[hidden] = MASK_VALUE
        batch, asked = to_batch(tokens, device), torch.from_numpy(hidden).to(device)
        states = self.network(batch)
        found = (
            self.network.expression(batch, states),
            self.network.expression_from_cell(batch, states),
        )
        losses = [F.mse_loss(values[asked].float(), truth) for values in found]
        return losses[0] + losses[1]
