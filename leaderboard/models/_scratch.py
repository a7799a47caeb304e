"""Foundation models pretrained here, on the training cells of a fold: what all of them share."""

from abc import abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from jaxtyping import Int

from leaderboard.models._heads import Heads
from leaderboard.models._inputs import role_is
from leaderboard.models._linear import Places
from leaderboard.spec import RunContext

if TYPE_CHECKING:
    from anndata import AnnData
    from torch import nn

    from leaderboard.models._pretrain import Objective

TASKS = (
    "cell_type_annotation",
    "batch_integration",
    "modality_prediction",
    "gene_property",
    "gene_network",
    "perturbation_prediction",
)
"""What heads on places of cells and genes answer."""
VALIDATION = 0.1
"""Share of the cells to stop by where a board holds none out for it."""


@dataclass(frozen=True, kw_only=True)
class Scratch(Heads):
    """An architecture of the field at a size of its own; never the published model.

    Parameters
    ----------
    trained
        False: the random weights that training would start from, the control of the others.
    layers, dims, hidden, heads
        Size of the transformer; ``hidden`` is the width inside a block.
    max_tokens
        Genes of a cell at most.
    epochs, patience, learning_rate, batch_tokens
        See ``_pretrain.Course``.
    """

    trained: bool = True
    layers: int = 2
    dims: int = 64
    hidden: int = 128
    heads: int = 4
    max_tokens: int = 256
    dropout: float = 0.02
    epochs: int = 5
    patience: int = 2
    learning_rate: float = 1e-3
    batch_tokens: int = 8192

    @abstractmethod
    def cells(self, inputs: "AnnData", run: RunContext) -> Places:
        """Pretrain on the training cells, then place all cells; ``inputs`` are sorted by id."""

    @abstractmethod
    def genes(self, inputs: "AnnData", run: RunContext) -> pd.DataFrame:
        """Pretrain on the training cells, then place the genes that they show."""

    def place_cells(self, inputs: "AnnData", run: RunContext) -> Places:
        """Return a row for every cell, whatever their order."""
        order = _by_id(inputs)
        places = np.empty((inputs.n_obs, self.dims))
        places[order] = self.cells(inputs[order].copy(), run)
        return places

    def place_genes(self, inputs: "AnnData", run: RunContext) -> pd.DataFrame:
        """Return a row for every gene that training cells show."""
        return self.genes(inputs[_by_id(inputs)].copy(), run)

    def learn(
        self,
        objective: "Objective",
        train: Int[np.ndarray, " train"],
        validation: Int[np.ndarray, " validation"],
        run: RunContext,
    ) -> None:
        """Pretrain the network of an objective, unless it is to stay as it was drawn."""
        from leaderboard.models._pretrain import Course, Pretraining

        course = Course(
            epochs=self.epochs,
            patience=self.patience,
            learning_rate=self.learning_rate,
            batch_tokens=self.batch_tokens,
        )
        if self.trained:
            Pretraining(objective, train, validation, course).fit(run)
        objective.network.eval()


def on_device(network: "nn.Module", run: RunContext) -> None:
    """Move a network to the GPU where there is one; keep torch to the threads of the run."""
    import torch

    torch.set_num_threads(run.threads)
    network.to("cuda" if torch.cuda.is_available() else "cpu")


def _by_id(inputs: "AnnData") -> Int[np.ndarray, " cells"]:
    return np.argsort(inputs.obs_names.to_numpy(dtype=str), kind="stable")


def learned_cells(
    inputs: "AnnData", seed: int
) -> tuple[Int[np.ndarray, " train"], Int[np.ndarray, " validation"]]:
    """Return the cells to pretrain on, and those to stop by.

    Training and control cells with the validation cells of the board. A board that asks for all
    of its cells (integration, genes) holds none out: a tenth of them is drawn.
    """
    train = np.flatnonzero(role_is(inputs, "train", "control_input"))
    validation = np.flatnonzero(role_is(inputs, "validation"))
    if not len(train):
        drawn = np.random.default_rng(seed).permutation(inputs.n_obs)
        train, validation = np.split(drawn, [-max(int(VALIDATION * len(drawn)), 1)])
    elif not len(validation):
        drawn = np.random.default_rng(seed).permutation(train)
        train, validation = np.split(drawn, [-max(int(VALIDATION * len(drawn)), 1)])
    return np.sort(train), np.sort(validation)
