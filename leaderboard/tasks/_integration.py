"""What is frozen about an integration board, and where its entries fail."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import pandas as pd

from leaderboard.embedding import K_GRAPH, MIN_CELLS, Embedded, variance_explained
from leaderboard.errors import UndefinedScoreError
from leaderboard.profiles import Counts, log_normalise, size_factors
from leaderboard.spec import Board, Metric
from leaderboard.tasks._tables import FAILURES

if TYPE_CHECKING:
    from anndata import AnnData

LABEL = "cell_type"
N_COMPONENTS = 50
"""Principal components of the counts before integration, as scanpy's default has them."""
EFFECTIVE = 60 / np.e
"""Neighbours that count in LISI: exponential weights whose entropy is log 30, its perplexity, have
an inverse Simpson index of 2 x 30 / e."""
LEAST_GAP = 1e-9
KBET_ACCEPTED = 0.95
"""Share of tests at 5 % that a perfect mixture passes."""


def freeze(
    adata: "AnnData", roles: pd.DataFrame, board: Board, metrics: Sequence[Metric]
) -> dict[str, Any]:
    """Return what is frozen: labels that count, isolated ones, batch variance, floors, trust.

    All from labels, batches and counts, none from an embedding, so that no search or clustering
    enters a frozen number.
    """
    cells = adata.obs.loc[np.sort(roles["cell_id"].to_numpy(dtype=str))]
    cells = cells[cells[LABEL].notna()]
    table = pd.crosstab(cells[LABEL].astype(str), cells[board.unit].astype(str))
    isolated = isolated_labels(table)
    edges = {metric.name: _edges(metric.name, table, isolated) for metric in metrics}
    return {
        "classes": sorted(map(str, table.index[table.sum(axis=1) >= MIN_CELLS])),
        "isolated": isolated,
        "batch_variance": batch_variance(adata[cells.index], board.unit),
        "metrics": {m.name: _constants(m, table, edges[m.name]) for m in metrics},
    }


def isolated_labels(table: pd.DataFrame) -> list[str]:
    """Return the labels in the fewest batches, from cells by label (rows) and batch.

    Labels with fewer than 10 cells are too small for a cluster and do not count.
    """
    large = table[table.sum(axis=1) >= MIN_CELLS]
    n_batches = (large > 0).sum(axis=1)
    return [str(label) for label in large.index[n_batches == n_batches.min()]]


def batch_variance(cells: "AnnData", unit: str) -> float:
    """Return the share of the variance of 50 principal components that batches explain.

    Components of log1p of counts scaled to the median total, all genes, before any integration.
    """
    factor = size_factors(cells.X, cells.obs, "panel")
    values = _components(log_normalise(cells.X, factor, float(np.median(factor))), N_COMPONENTS)
    return variance_explained(values, cells.obs[unit].to_numpy(dtype=str))


def _components(counts: Counts, n: int) -> np.ndarray:
    """Return the leading principal components, exact: eigenvectors of the gene covariance."""
    import scipy.linalg  # noqa: PLC0415

    mean = np.asarray(counts.mean(axis=0)).ravel()
    cross = (counts.T @ counts).toarray() - counts.shape[0] * np.outer(mean, mean)
    last = len(mean) - 1
    _, axes = scipy.linalg.eigh(cross, subset_by_index=(max(0, last + 1 - n), last))
    return np.asarray(counts @ axes - mean @ axes)


def mixture(table: pd.DataFrame, n_neighbours: float) -> float:
    """Return the ciLISI of cells whose neighbours are a random draw of their own label.

    The inverse Simpson index of a draw of n is taken at its expectation, sum p^2 + (1 - sum p^2)/n.
    Mean over the cells of a batch, then over batches, as the board has it.
    """
    counts = table[(table.sum(axis=1) >= MIN_CELLS) & ((table > 0).sum(axis=1) > 1)]
    share = counts.div(counts.sum(axis=1), axis=0)
    simpson = (share**2).sum(axis=1)
    effective = 1.0 / (simpson + (1.0 - simpson) / n_neighbours)
    scaled = (effective - 1.0) / ((counts > 0).sum(axis=1) - 1.0)
    batches = counts.loc[:, counts.sum() > 0]
    means = batches.mul(scaled, axis=0).sum() / batches.sum()
    return float(means.mean()) if len(means) else 0.0


def _one_cluster(table: pd.DataFrame, isolated: Sequence[str]) -> float:
    """Return the F1 of one cluster that holds everything, averaged as the metric averages."""
    by_batch = []
    for batch in table.columns:
        n = table.loc[list(isolated), batch]
        values = 2 * n / (n + table[batch].sum())
        if (n >= 5).any():
            by_batch.append(float(values[n >= 5].mean()))
    return float(np.mean(by_batch)) if by_batch else 0.0


@dataclass(frozen=True, kw_only=True)
class _Edges:
    """Floor and ceiling of one metric."""

    floor: float = 0.0
    ceiling: float = 1.0
    low: float = 1.0
    high: float = 1.0
    kind: str = "best possible value"


def _edges(name: str, table: pd.DataFrame, isolated: Sequence[str]) -> _Edges:
    """Return the scale of a metric; cells at random places are the floor of those of types."""
    if name == "cilisi":
        # Weights that fall faster or slower: half as many neighbours, or all of the label.
        ceiling, low, high = (mixture(table, n) for n in (EFFECTIVE, EFFECTIVE / 2, np.inf))
        kind = "random neighbours of the own label"
        return _Edges(ceiling=ceiling, low=low, high=high, kind=kind)
    if name == "kbet":
        accepted = dict.fromkeys(("ceiling", "low", "high"), KBET_ACCEPTED)
        return _Edges(**accepted, kind="tests at 5 %")
    share = (table.sum(axis=1) / table.to_numpy().sum()).to_numpy()
    simpson = float((share**2).sum())
    n_labels = len(share)
    floors = {
        "knn_purity": float((table / table.sum()).mul(share, axis=0).sum().mean()),
        "clisi": (n_labels - 1 / simpson) / (n_labels - 1) if n_labels > 1 else 0.0,
        "isolated_label_f1": _one_cluster(table, isolated),
    }
    return _Edges(floor=floors.get(name, 0.0))


def _constants(metric: Metric, table: pd.DataFrame, edges: _Edges) -> dict[str, Any]:
    reason = ""
    if edges.ceiling - edges.floor < LEAST_GAP:
        reason = "no better value than that of cells at random places"
    if table.shape[1] < 2:
        reason = "one batch only: nothing to integrate"
    return {
        "floor": edges.floor if metric.floor is None else metric.floor,
        "ceiling": edges.ceiling,
        "ceiling_low": edges.low,
        "ceiling_high": edges.high,
        "ceiling_kind": edges.kind,
        "trusted": not reason,
        "reason": reason,
    }


def failures(cells: Embedded, fold: int, seed: int) -> pd.DataFrame:
    """Return which labels a cell's neighbours carry, and the labels whose batches stay apart.

    ``confusion``: the commonest label of the 15 nearest other cells; ties go to the label that
    sorts first. ``unmixed_label``: mean ciLISI of a label's cells in a batch.
    """
    try:
        rows = [*_confusion(cells), *_unmixed(cells)]
    except UndefinedScoreError:  # all at one place: the score table says so
        rows = []
    table = pd.DataFrame(rows, columns=FAILURES[2:])
    table.insert(0, "seed", seed)
    table.insert(0, "fold", fold)
    return table


def _confusion(cells: Embedded) -> Iterator[tuple[Any, ...]]:
    names, code = np.unique(cells.label, return_inverse=True)
    near = code[cells.neighbours.others(K_GRAPH)]
    votes = np.stack([(near == k).sum(axis=1) for k in range(len(names))], axis=1)
    said = names[votes.argmax(axis=1)]
    found = pd.DataFrame({"unit": cells.batch, "label": cells.label, "said": said})
    total = found.groupby(["unit", "label"]).size()
    for key, n in found.groupby(["unit", "label", "said"]).size().items():
        unit, label, other = cast("tuple[str, str, str]", key)
        yield "confusion", unit, label, 0, other, n / total.loc[(unit, label)], n


def _unmixed(cells: Embedded) -> Iterator[tuple[Any, ...]]:
    found = pd.DataFrame({"unit": cells.batch, "label": cells.label, "value": cells.batch_mixing})
    groups = found.dropna().groupby(["unit", "label"])["value"].agg(["mean", "size"])
    for (unit, label), row in zip(groups.index, groups.itertuples(index=False), strict=True):
        yield "unmixed_label", unit, label, 0, "cilisi", float(row[0]), int(row[1])
