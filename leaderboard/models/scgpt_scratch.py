"""scGPT's architecture, pretrained here on the training cells of each fold; a light head on top."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from leaderboard.models._linear import Places
from leaderboard.models._scgpt_tokens import Encoding, Panel, Vocabulary, build_panel
from leaderboard.models._scratch import TASKS, Scratch, learned_cells, on_device
from leaderboard.spec import Model, RunContext

if TYPE_CHECKING:
    from anndata import AnnData

    from leaderboard.models._scgpt import ScGpt

SPECIAL = ("<pad>", "<cls>")


@dataclass(frozen=True, kw_only=True)
class ScgptScratch(Scratch):
    """Binned values, a cell token, masked values (Cui et al. 2024, doi:10.1038/s41592-024-02201-0).

    Parameters
    ----------
    mask_share
        Share of a cell's values that are hidden in training.

    Sizes and schedule: see ``Scratch``.
    """

    mask_share: float = 0.4

    def cells(self, inputs: "AnnData", run: RunContext) -> Places:
        """Return the state of the cell token, of length 1."""
        from leaderboard.models._scgpt_embed import embed_cells

        network, panel, encoding = self._network(inputs, run)
        return embed_cells(network, panel, encoding).astype(np.float64)

    def genes(self, inputs: "AnnData", run: RunContext) -> pd.DataFrame:
        """Return the mean state of a gene's token over the cells that show it."""
        from leaderboard.models._scgpt_embed import embed_genes_in_context

        network, panel, encoding = self._network(inputs, run)
        found = embed_genes_in_context(network, panel, encoding)
        symbol = {number: name for name, number in panel.vocabulary.ids.items()}
        names = [symbol[number] for number in panel.genes]
        return pd.DataFrame(found.places, index=names)[found.n_cells > 0]

    def _network(self, inputs: "AnnData", run: RunContext) -> tuple["ScGpt", Panel, Encoding]:
        from leaderboard.models._scgpt import Shape, random_network
        from leaderboard.models._scgpt_fit import MaskedValues

        names = sorted(inputs.var_names.astype(str))
        ids = {name: number for number, name in enumerate([*SPECIAL, *names])}
        vocabulary = Vocabulary(ids=ids, pad=0, cls=1)
        encoding = Encoding(max_tokens=self.max_tokens, seed=run.seed)
        panel = build_panel(inputs.X, inputs.var_names, inputs.obs_names, vocabulary)
        shape = Shape(
            n_tokens=len(ids),
            pad=vocabulary.pad,
            dims=self.dims,
            hidden=self.hidden,
            heads=self.heads,
            layers=self.layers,
            dropout=self.dropout,
        )
        network = random_network(shape, run.seed)
        on_device(network, run)
        objective = MaskedValues(network, panel, encoding, self.mask_share)
        self.learn(objective, *learned_cells(inputs, run.seed), run)
        return network, panel, encoding


MODEL = Model(
    name="scgpt_scratch",
    label="scGPT architecture, pretrained here",
    tasks=TASKS,
    load=ScgptScratch,
    is_stochastic=True,
)
