"""Answer by the bin that a cell falls into: the labels of the training cells in it."""

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from jaxtyping import Int

from leaderboard.models._inputs import annotation, fitted, labels, test_cells

if TYPE_CHECKING:
    from anndata import AnnData


def answer_by_bin(inputs: "AnnData", number: Int[np.ndarray, " cells"]) -> pd.DataFrame:
    """Return the commonest training label of every test cell's bin, and the shares of all labels.

    ``number`` is the bin of every cell of ``inputs``, from 0. A bin without a training cell answers
    with the shares of all training cells. Ties go to the label that sorts first.
    """
    names, label = np.unique(labels(inputs), return_inverse=True)
    counts = np.zeros((int(number.max()) + 1, len(names)))
    np.add.at(counts, (number[fitted(inputs)], label), 1)
    counts[counts.sum(axis=1) == 0] = counts.sum(axis=0)
    share = (counts / counts.sum(axis=1, keepdims=True))[number[test_cells(inputs)]]
    return annotation(inputs, names[share.argmax(axis=1)], (names, share))
