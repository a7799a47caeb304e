"""Every cell gets the most frequent label of training: what class sizes alone score."""

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from leaderboard.models._inputs import annotation, labels, test_cells
from leaderboard.spec import Model, RunContext

if TYPE_CHECKING:
    from anndata import AnnData


class Majority:
    """Ties go to the label that sorts first, so the order of cells cannot matter."""

    def annotate(self, inputs: "AnnData", _run: RunContext) -> pd.DataFrame:
        """Return the majority label for all, with training frequencies as probabilities."""
        names, counts = np.unique(labels(inputs), return_counts=True)
        n = int(test_cells(inputs).sum())
        frequencies = np.tile(counts / counts.sum(), (n, 1))
        return annotation(inputs, np.repeat(names[counts.argmax()], n), (names, frequencies))


MODEL = Model(
    name="majority",
    label="Majority label",
    tasks=("cell_type_annotation",),
    load=Majority,
)
