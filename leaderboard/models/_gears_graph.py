"""The two graphs of GEARS: genes that vary together, perturbed genes that share annotations."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from jaxtyping import Float
from scipy import sparse

if TYPE_CHECKING:
    import torch

CHUNK = 512
"""Genes whose similarities with all others are in memory at a time."""
MIN_SIMILARITY = 0.1
NO_EDGES = pd.DataFrame(
    {"source": np.array([], int), "target": np.array([], int), "weight": np.array([], float)}
)


def coexpression_edges(values: sparse.csr_matrix, threshold: float, k: int) -> pd.DataFrame:
    """Return ``source target weight``: each gene hears its ``k`` + 1 most correlated genes.

    The weight is the absolute Pearson correlation over ``values`` (cells x genes) where it
    exceeds ``threshold``; a gene that varies is its own first neighbour.
    """
    dense = values.toarray()
    unit = dense - dense.mean(axis=0, dtype=np.float64).astype(dense.dtype)
    length = np.linalg.norm(unit, axis=0)
    unit = np.divide(unit, length, out=np.zeros_like(unit), where=length > 0)
    chunks = [np.arange(a, min(a + CHUNK, unit.shape[1])) for a in range(0, unit.shape[1], CHUNK)]
    parts = [nearest_edges(np.abs(unit[:, c].T @ unit), c, threshold, k) for c in chunks]
    return pd.concat(parts, ignore_index=True)


def shared_sets_edges(
    sets: Sequence[frozenset[str]], nodes: Sequence[str], asked: Sequence[str], k: int
) -> pd.DataFrame:
    """Return ``source target weight`` (numbers in ``nodes``) into every asked node.

    The weight is the Jaccard index of the sets that two genes are in, above .1, for the ``k`` + 1
    nearest, itself among them.
    """
    member = membership(sets, nodes)
    size = np.asarray(member.sum(axis=1)).ravel()
    number = {node: position for position, node in enumerate(nodes)}
    rows = np.array([number[node] for node in asked if node in number], dtype=int)
    parts = [NO_EDGES]
    for start in range(0, len(rows), CHUNK):
        chosen = rows[start : start + CHUNK]
        both = (member[chosen] @ member.T).toarray()
        either = size[chosen][:, None] + size[None] - both
        jaccard = np.divide(both, either, out=np.zeros_like(both), where=either > 0)
        parts.append(nearest_edges(jaccard, chosen, MIN_SIMILARITY, k))
    return pd.concat(parts, ignore_index=True)


def membership(sets: Sequence[frozenset[str]], nodes: Sequence[str]) -> sparse.csr_matrix:
    """Return which of the sets (columns) every node (rows) is in, as 0 and 1."""
    number = {node: position for position, node in enumerate(nodes)}
    pairs = [(number[g], c) for c, genes in enumerate(sets) for g in genes if g in number]
    row, column = np.array(pairs, dtype=int).reshape(-1, 2).T
    ones = np.ones(len(row), dtype=np.float32)
    return sparse.csr_matrix((ones, (row, column)), shape=(len(nodes), len(sets)))


def nearest_edges(
    similarity: Float[np.ndarray, "targets nodes"], targets: Any, threshold: float, k: int
) -> pd.DataFrame:
    """Return edges from the ``k`` + 1 most similar nodes above a threshold, ties by number."""
    order = np.argsort(-similarity, axis=1, kind="stable")[:, : k + 1]
    weight = np.take_along_axis(similarity, order, axis=1)
    edges = pd.DataFrame(
        {
            "source": order.ravel(),
            "target": np.repeat(np.asarray(targets), order.shape[1]),
            "weight": weight.ravel().astype(float),
        }
    )
    return edges[edges["weight"] > threshold].reset_index(drop=True)


def normalised(edges: pd.DataFrame, n: int) -> "torch.Tensor":
    """Return D^-1/2 (A + I) D^-1/2 as a sparse n x n matrix, row = receiver.

    A self edge that is there keeps its weight; degrees are weights of what a node receives (Kipf &
    Welling 2017, as in PyTorch Geometric's ``gcn_norm``).
    """
    import torch

    source, target = edges["source"].to_numpy(), edges["target"].to_numpy()
    weight = edges["weight"].to_numpy(dtype=np.float64)
    is_loop = source == target
    loops = np.ones(n)
    loops[source[is_loop]] = weight[is_loop]
    source = np.concatenate([source[~is_loop], np.arange(n)])
    target = np.concatenate([target[~is_loop], np.arange(n)])
    weight = np.concatenate([weight[~is_loop], loops])
    degree = np.bincount(target, weight, minlength=n)
    scale = np.divide(1.0, np.sqrt(degree), out=np.zeros(n), where=degree > 0)
    values = torch.as_tensor(scale[source] * weight * scale[target], dtype=torch.float32)
    place = torch.as_tensor(np.stack([target, source]))
    return torch.sparse_coo_tensor(place, values, (n, n), check_invariants=True).coalesce()
