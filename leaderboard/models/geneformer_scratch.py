"""Geneformer's architecture, pretrained here on the training cells of each fold; a light head."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from leaderboard.models._linear import Places
from leaderboard.models._scratch import TASKS, Scratch, learned_cells, on_device
from leaderboard.profiles import size_factors
from leaderboard.spec import Model, RunContext

if TYPE_CHECKING:
    from anndata import AnnData

    from leaderboard.models._geneformer import Geneformer
    from leaderboard.models._geneformer_dictionaries import Dictionaries
    from leaderboard.models._geneformer_tokens import Tokens


@dataclass(frozen=True, kw_only=True)
class GeneformerScratch(Scratch):
    """Genes by rank, masked genes (Theodoris et al. 2023, doi:10.1038/s41586-023-06139-9).

    Medians of genes are those of the training cells. Sizes and schedule: see ``Scratch``.
    """

    def cells(self, inputs: "AnnData", run: RunContext) -> Places:
        """Return the mean state of a cell's genes in the layer before the last, as upstream."""
        from leaderboard.models._geneformer_embed import Asking, embed_cells

        network, tokens, _ = self._network(inputs, run)
        return embed_cells(network, tokens, Asking()).places.astype(np.float64)

    def genes(self, inputs: "AnnData", run: RunContext) -> pd.DataFrame:
        """Return the mean state of a gene's token over the cells that show it."""
        from leaderboard.models._geneformer_embed import Asking, embed_genes

        network, tokens, dictionaries = self._network(inputs, run)
        found = embed_genes(network, tokens, Asking())
        names = list(dictionaries.token)[dictionaries.n_special :]
        places = pd.DataFrame(found.places[dictionaries.n_special :], index=names)
        return places[found.n_cells[dictionaries.n_special :] > 0]

    def _network(
        self, inputs: "AnnData", run: RunContext
    ) -> tuple["Geneformer", "Tokens", "Dictionaries"]:
        import torch

        from leaderboard.models._geneformer import Geneformer, Shape
        from leaderboard.models._geneformer_corpus import corpus_dictionaries
        from leaderboard.models._geneformer_fit import MaskedGenes
        from leaderboard.models._geneformer_tokens import tokenise

        train, validation = learned_cells(inputs, run.seed)
        inputs = inputs[:, np.argsort(inputs.var_names.to_numpy(dtype=str))]
        kind = "total" if "total_counts_all_genes" in inputs.obs else "panel"
        totals = size_factors(inputs.X, inputs.obs, kind)
        names = list(inputs.var_names.astype(str))
        dictionaries = corpus_dictionaries(inputs.X[train], names, totals[train])
        tokens, coverage = tokenise(inputs.X, names, dictionaries, self.max_tokens)
        run.log("counts_covered", coverage.counts_fraction, 0)
        shape = Shape(
            vocab_size=len(dictionaries.token),
            hidden_size=self.dims,
            num_hidden_layers=self.layers,
            num_attention_heads=self.heads,
            intermediate_size=self.hidden,
            max_position_embeddings=self.max_tokens,
            hidden_dropout_prob=self.dropout,
            attention_probs_dropout_prob=self.dropout,
        )
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(run.seed)
            network = Geneformer(shape)
        on_device(network, run)
        held = [cells[tokens.n_genes[cells] > 0] for cells in (train, validation)]
        self.learn(MaskedGenes(network, tokens, dictionaries), held[0], held[1], run)
        return network, tokens, dictionaries


MODEL = Model(
    name="geneformer_scratch",
    label="Geneformer architecture, pretrained here",
    tasks=TASKS,
    load=GeneformerScratch,
    is_stochastic=True,
)
