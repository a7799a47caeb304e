"""What a small Geneformer learns from: some genes of a cell without their names."""

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from leaderboard.models._geneformer import Geneformer
from leaderboard.models._geneformer_corpus import Masking, masked, masked_loss
from leaderboard.models._geneformer_dictionaries import Dictionaries
from leaderboard.models._geneformer_embed import padded
from leaderboard.models._geneformer_tokens import Tokens


class MaskedGenes:
    """Asks which genes are hidden (Theodoris et al. 2023, doi:10.1038/s41586-023-06139-9)."""

    def __init__(self, network: Geneformer, tokens: Tokens, dictionaries: Dictionaries) -> None:
        self.network, self.tokens, self.dictionaries = network, tokens, dictionaries
        self.lengths: Int[np.ndarray, " cells"] = tokens.lengths

    def loss(self, cells: Int[np.ndarray, " batch"], rng: np.random.Generator) -> Float[Tensor, ""]:
        """Return the mean cross entropy of the hidden genes."""
        device = self.network.gene_table.device
        ids = padded(self.tokens, cells, device)
        length = torch.as_tensor(self.lengths[cells], device=device)[:, None]
        is_real = torch.arange(ids.shape[1], device=device) < length
        generator = torch.Generator(device).manual_seed(int(rng.integers(2**63)))
        shown, truth = masked(ids, self.dictionaries, Masking(), generator)
        return masked_loss(self.network, shown, is_real, truth)
