"""An embedding and its truth, and what the metrics of integration derive from them once.

Neighbours are exact, so a value depends on neither a random start nor the order of cells.
"""

import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse as sp
from jaxtyping import Bool, Float, Int, Shaped

from leaderboard import layout
from leaderboard.errors import UndefinedScoreError
from leaderboard.spec import IntegrationUnit

K_LISI, K_GRAPH = 90, 15
"""Neighbours of LISI and of the graph, the cell itself among them, as scib-metrics has them."""
MIN_CELLS = 10
"""A label with fewer cells has no neighbourhood that could be mixed."""
RESOLUTIONS = (0.2, 0.5, 1.0, 1.5, 2.0)
Cells = Float[np.ndarray, " cells"]


@cache
def load_scib() -> Any:
    """Return scib-metrics, its compiled functions kept in ``data/work`` between processes."""
    import jax  # noqa: PLC0415 (four seconds that other tasks do not need)

    for name, value in (
        ("jax_compilation_cache_dir", str(layout.work("jax").resolve())),
        ("jax_persistent_cache_min_compile_time_secs", 0.0),
        ("jax_persistent_cache_min_entry_size_bytes", -1),
    ):
        jax.config.update(name, value)  # type: ignore[no-untyped-call]
    import scib_metrics  # noqa: PLC0415

    scib_metrics.settings.verbosity = logging.ERROR
    return scib_metrics


@dataclass(frozen=True, kw_only=True)
class Neighbours:
    """The nearest cells of every cell, nearest first, itself included."""

    indices: Int[np.ndarray, "cells k"]
    distances: Float[np.ndarray, "cells k"]

    def first(self, k: int) -> Any:
        """Return the k nearest in the record of scib-metrics."""
        results = load_scib().nearest_neighbors.NeighborsResults
        distances = self.distances[:, :k].astype(np.float32)
        return results(indices=self.indices[:, :k], distances=distances)

    def others(self, k: int) -> Int[np.ndarray, "cells k"]:
        """Return the k nearest cells besides the cell itself."""
        shown = self.indices[:, : k + 1]
        is_self = shown == np.arange(len(shown))[:, None]
        order = np.argsort(is_self, axis=1, kind="stable")[:, : shown.shape[1] - 1]
        nearest: Int[np.ndarray, "cells k"] = np.take_along_axis(shown, order, axis=1)
        return nearest


def find_neighbours(embedding: Float[np.ndarray, "cells dims"], k: int) -> Neighbours:
    """Return the k nearest by Euclidean distance, found by comparing all pairs."""
    from sklearn.neighbors import NearestNeighbors  # noqa: PLC0415

    search = NearestNeighbors(n_neighbors=min(k, len(embedding)), algorithm="brute")
    distances, indices = search.fit(embedding).kneighbors(embedding)
    return Neighbours(indices=indices, distances=distances)


@dataclass(frozen=True, kw_only=True, eq=False)
class Embedded:
    """All cells of a board in the order of their ids; what metrics share is computed once."""

    embedding: Float[np.ndarray, "cells dims"]
    label: Shaped[np.ndarray, " cells"]
    batch: Shaped[np.ndarray, " cells"]
    isolated: tuple[str, ...] = ()
    """The frozen labels of the board that the fewest batches hold."""
    batch_variance: float | None = None
    """Frozen: the share of variance that batches explain before integration."""

    @classmethod
    def of(cls, cells: pd.DataFrame, constants: Mapping[str, Any]) -> "Embedded":
        """Sort cells by id, so that starts and ties that follow an order follow this one.

        Parameters
        ----------
        cells
            ``cell_id label unit d0 d1 ...``; the unit of integration is the batch.
        constants
            The frozen ones of the board: ``isolated`` and ``batch_variance``.
        """
        cells = cells.sort_values("cell_id")
        n_dims = sum(str(c).removeprefix("d").isdigit() for c in cells.columns)
        dims = [f"d{k}" for k in range(n_dims)]
        return cls(
            embedding=cells[dims].to_numpy(dtype=np.float32),
            label=cells["label"].to_numpy(dtype=str),
            batch=cells["unit"].to_numpy(dtype=str),
            isolated=tuple(constants["isolated"]),
            batch_variance=constants["batch_variance"],
        )

    def check_spread(self) -> None:
        """Raise UndefinedScoreError if all cells are at one place."""
        if not np.ptp(self.embedding, axis=0).any():
            raise UndefinedScoreError("all cells are at one place, so none has nearest neighbours")

    @cached_property
    def neighbours(self) -> Neighbours:
        """The nearest of all cells: one graph for all metrics."""
        self.check_spread()
        return find_neighbours(self.embedding, K_LISI)

    def mixed_labels(self) -> Iterator[tuple[str, Int[np.ndarray, " members"], int]]:
        """Yield label, cells and number of batches where there is a mixture to look at."""
        for label in np.unique(self.label):
            members = np.flatnonzero(self.label == label)
            n_batches = len(np.unique(self.batch[members]))
            if len(members) >= MIN_CELLS and n_batches > 1:
                yield str(label), members, n_batches

    @cached_property
    def is_mixable(self) -> Bool[np.ndarray, " cells"]:
        """Which cells have a label with a mixture to look at."""
        found = np.zeros(len(self.label), dtype=bool)
        for _, members, _ in self.mixed_labels():
            found[members] = True
        return found

    @cached_property
    def within(self) -> dict[str, Neighbours]:
        """The nearest cells of the own label; indices count the label's cells."""
        self.check_spread()
        return {
            label: find_neighbours(self.embedding[members], K_LISI)
            for label, members, _ in self.mixed_labels()
        }

    @cached_property
    def batch_mixing(self) -> Cells:
        """Scaled LISI of batches among neighbours of the own label; NaN where it has no mixture."""
        found = np.full(len(self.label), np.nan)
        code = np.unique(self.batch, return_inverse=True)[1]
        by_k: dict[int, list[tuple[str, Int[np.ndarray, " members"], int]]] = {}
        for label, members, n_batches in self.mixed_labels():
            k = self.within[label].indices.shape[1]
            by_k.setdefault(k, []).append((label, members, n_batches))
        for parts in by_k.values():
            lisi = _lisi_of_parts([(self.within[label], code[m]) for label, m, _ in parts])
            cells = np.concatenate([m for _, m, _ in parts])
            most = np.concatenate([np.full(len(m), n) for _, m, n in parts])
            found[cells] = np.clip((lisi - 1.0) / (most - 1.0), 0.0, 1.0)
        return found

    @cached_property
    def kmeans(self) -> dict[str, float]:
        """NMI and ARI of the labels with as many k-means clusters, by scib-metrics."""
        self.check_spread()
        scores = load_scib().nmi_ari_cluster_labels_kmeans(self.embedding, self.label)
        return {name: float(value) for name, value in scores.items()}

    @cached_property
    def clusters(self) -> Int[np.ndarray, "resolutions cells"]:
        """Leiden clusters of the symmetric graph of 15 neighbours, without weights."""
        near = self.neighbours.indices[:, :K_GRAPH]
        n, k = near.shape
        graph = sp.csr_matrix((np.ones(n * k), (np.repeat(np.arange(n), k), near.ravel())), (n, n))
        graph = ((graph + graph.T) > 0).astype(np.float64)
        graph.setdiag(0)
        graph.eliminate_zeros()
        return np.stack([leiden(graph, resolution) for resolution in RESOLUTIONS])

    @cached_property
    def best_clusters(self) -> dict[str, Bool[np.ndarray, " cells"]]:
        """The cluster of any resolution with the highest F1 for every isolated label.

        Ties go to the lower resolution, then to the cluster with the lower number.
        """
        chosen: dict[str, Bool[np.ndarray, " cells"]] = {}
        for label in self.isolated:
            is_label, best = self.label == label, -1.0
            for cluster in self.clusters:
                hits = np.bincount(cluster[is_label], minlength=cluster.max() + 1)
                f1 = 2.0 * hits / (is_label.sum() + np.bincount(cluster))
                if f1.max() > best:
                    best, chosen[label] = float(f1.max()), cluster == f1.argmax()
        return chosen


def _lisi_of_parts(
    parts: list[tuple[Neighbours, Int[np.ndarray, " members"]]],
) -> Cells:
    """Return the LISI of codes in graphs of equal k, in one call: each shape is compiled anew."""
    starts = np.cumsum([0, *(len(code) for _, code in parts[:-1])])
    joined = Neighbours(
        indices=np.concatenate([n.indices + s for (n, _), s in zip(parts, starts, strict=True)]),
        distances=np.concatenate([n.distances for n, _ in parts]),
    )
    return lisi(joined, np.concatenate([code for _, code in parts]))


def lisi(neighbours: Neighbours, group: Shaped[np.ndarray, " cells"]) -> Cells:
    """Return scib-metrics' effective number of groups around every cell.

    The perplexity is a third of the neighbours (Korsunsky et al. 2019,
    doi:10.1038/s41592-019-0619-0); NaN where all neighbours are infinitely far.
    """
    scib = load_scib()
    values = np.asarray(scib.metrics.lisi_knn(neighbours.first(K_LISI), group), dtype=np.float64)
    return np.where(values > 0, values, np.nan)


def leiden(graph: sp.csr_matrix, resolution: float) -> Int[np.ndarray, " cells"]:
    """Return modularity clusters (Traag et al. 2019, doi:10.1038/s41598-019-41695-z), by scanpy."""
    import scanpy  # noqa: PLC0415
    from anndata import AnnData  # noqa: PLC0415

    cells = AnnData(np.zeros((graph.shape[0], 1), dtype=np.float32))
    scanpy.tl.leiden(
        cells, resolution=resolution, adjacency=graph, flavor="igraph", n_iterations=2,
        directed=False, random_state=0,
    )  # fmt: skip
    clusters: Int[np.ndarray, " cells"] = cells.obs["leiden"].astype(int).to_numpy()
    return clusters


def own_mean(case: IntegrationUnit, values: Cells, reason: str) -> float:
    """Return the mean over the unit's cells that have a value."""
    own = values[case.own]
    own = own[np.isfinite(own)]
    if not len(own):
        raise UndefinedScoreError(reason)
    return float(own.mean())


def check_several(names: Shaped[np.ndarray, " cells"], what: str) -> int:
    """Return the number of different names; raise UndefinedScoreError if there is only one."""
    n = len(np.unique(names))
    if n < 2:
        raise UndefinedScoreError(f"all cells have the same {what}")
    return n


def variance_explained(
    values: Float[np.ndarray, "cells dims"], group: Shaped[np.ndarray, " cells"]
) -> float:
    """Return the variance between group means over the variance of all cells.

    Principal component regression on all components: the components' variances times their R^2 add
    up to the trace of the covariance between groups, which no rotation changes.
    """
    values = values.astype(np.float64)
    centred = values - values.mean(axis=0)
    total = float(np.sum(centred**2))
    if not total > 0:
        raise UndefinedScoreError("all cells are at one place, so there is no variance to explain")
    code = np.unique(group, return_inverse=True)[1]
    sums = np.stack([centred[code == k].sum(axis=0) for k in range(code.max() + 1)])
    return float(np.sum(sums**2 / np.bincount(code)[:, None]) / total)
