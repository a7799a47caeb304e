"""Batches of cells of like length, so that little of a batch is padding."""

import numpy as np
from jaxtyping import Int


def length_batches(
    lengths: Int[np.ndarray, " cells"], max_tokens: int
) -> list[Int[np.ndarray, " members"]]:
    """Return the cells of every batch, longest batches first.

    A batch is padded to its longest cell; padded it has ``max_tokens`` at most, or it is one cell.
    The longest come first, so that a machine with too little memory fails at once.
    """
    order = np.argsort(-lengths, kind="stable")
    batches, start = [], 0
    while start < len(order):
        size = max(int(max_tokens // max(int(lengths[order[start]]), 1)), 1)
        batches.append(order[start : start + size])
        start += size
    return batches
