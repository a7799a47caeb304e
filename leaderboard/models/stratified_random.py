"""Labels drawn at random by how common they are in training: guessing that knows the sizes."""

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from leaderboard.models._inputs import annotation, labels, test_cells
from leaderboard.spec import Model, RunContext

if TYPE_CHECKING:
    from anndata import AnnData


class StratifiedRandom:
    """Draws run over sorted cell ids, so under one seed the order of cells cannot matter."""

    def annotate(self, inputs: "AnnData", run: RunContext) -> pd.DataFrame:
        """Return one drawn label a cell, with training frequencies as probabilities."""
        names, counts = np.unique(labels(inputs), return_counts=True)
        share = counts / counts.sum()
        cells = inputs.obs_names[test_cells(inputs)].to_numpy(dtype=str)
        drawn = np.empty(len(cells), dtype=names.dtype)
        drawn[np.argsort(cells)] = np.random.default_rng(run.seed).choice(
            names, len(cells), p=share
        )
        return annotation(inputs, drawn, (names, np.tile(share, (len(cells), 1))))


MODEL = Model(
    name="stratified_random",
    label="Stratified random",
    tasks=("cell_type_annotation",),
    load=StratifiedRandom,
    is_stochastic=True,
)
