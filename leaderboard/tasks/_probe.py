"""A linear probe of gene embeddings, cross-validated by gene; its folds, families and constants."""

import hashlib
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float, Shaped

from leaderboard.errors import TableError, UndefinedScoreError
from leaderboard.spec import Board, GenePropertyUnit, Metric

if TYPE_CHECKING:
    from anndata import AnnData

N_FOLDS = 5
MIN_CELLS = 10
"""A gene is asked for if as many cells have a count of it."""
MIN_FAMILY = 20
"""Genes whose symbols begin with the same letters are a family if there are as many of them."""
NO_FAMILY = "other"
MIN_GENES = 5
"""Genes of either kind that every fold needs."""
PENALTIES = np.logspace(-3, 5, 25)
"""Ridge penalties by number of training genes; the one of the least leave-one-out error is used."""


def asked_genes(adata: "AnnData") -> pd.DataFrame:
    """Return ``unit gene has_property family`` of the genes that a board asks for, by gene.

    Raises
    ------
    TableError
        If the dataset's reader attached no property.
    """
    if "gene_property" not in adata.uns:
        raise TableError(
            "the dataset holds no property of genes: its reader must attach one "
            "(datasets/_gene_property.py)"
        )
    n_cells = pd.Series(np.asarray((adata.X > 0).sum(axis=0)).ravel(), index=adata.var_names)
    table: pd.DataFrame = adata.uns["gene_property"]
    table = table.astype({"gene": str, "has_property": bool})
    table = table[n_cells.loc[table["gene"]].to_numpy() >= MIN_CELLS].sort_values("gene")
    genes, has = table["gene"].to_numpy(dtype=str), table["has_property"].to_numpy(dtype=bool)
    return pd.DataFrame(
        {"unit": _folds(genes, has), "gene": genes, "has_property": has, "family": families(genes)}
    )


def _folds(
    genes: Shaped[np.ndarray, " genes"], has: Bool[np.ndarray, " genes"]
) -> Shaped[np.ndarray, " genes"]:
    """Deal the genes of either kind to folds in the order of a hash of their names."""
    fold = np.zeros(len(genes), dtype=int)
    hashed = np.array([hashlib.sha256(name.encode()).hexdigest() for name in genes])
    for kind in (False, True):
        members = np.flatnonzero(has == kind)
        fold[members[np.argsort(hashed[members])]] = np.arange(len(members)) % N_FOLDS
    return np.array([f"genes_{k + 1}" for k in fold])


def families(genes: Shaped[np.ndarray, " genes"]) -> Shaped[np.ndarray, " genes"]:
    """Return the leading letters of symbols that many share (``ZNF``), ``other`` for the rest."""
    stems = pd.Series([stem(name) for name in genes])
    large = stems.map(stems.value_counts()) >= MIN_FAMILY
    return stems.where(large, NO_FAMILY).to_numpy(dtype=str)


def stem(symbol: str) -> str:
    """Return the letters that a gene symbol begins with."""
    found = re.match(r"[A-Za-z]*", symbol)
    return found.group() if found else ""


def units_of(
    genes: pd.DataFrame, embedding: Float[np.ndarray, "genes dims"]
) -> dict[str, GenePropertyUnit]:
    """Return every fold's genes with the scores of a probe that was fitted on the other folds.

    Parameters
    ----------
    genes
        ``unit has_property family``, one row a gene, in the order of ``embedding``.
    """
    unit, has = genes["unit"].to_numpy(dtype=str), genes["has_property"].to_numpy(dtype=bool)
    family = genes["family"].to_numpy(dtype=str)
    found = {}
    for name in np.unique(unit):
        own = unit == name
        found[str(name)] = GenePropertyUnit(
            score=_probe(embedding[~own], has[~own], embedding[own]),
            has_property=has[own],
            family=family[own],
        )
    return found


def _probe(
    known: Float[np.ndarray, "known dims"],
    has: Bool[np.ndarray, " known"],
    asked: Float[np.ndarray, "asked dims"],
) -> Float[np.ndarray, " asked"]:
    """Fit a ridge regression on some genes and score others.

    Of two geometries, dimensions as given and dimensions of equal variance, and of all penalties,
    the pair with the least squared leave-one-out error on the known genes is used: principal
    components speak through their sizes, counts of unlike units do not. So no entry is helped or
    hurt by the scale or the number of its dimensions.
    """
    centre, spread = known.mean(axis=0), known.std(axis=0)
    varies = spread > 1e-12 * np.maximum(1.0, np.abs(centre))
    if not varies.any():
        return np.zeros(len(asked))
    known, asked = known[:, varies] - centre[varies], asked[:, varies] - centre[varies]
    spread = spread[varies]
    whole = np.full(len(spread), np.sqrt(np.mean(spread**2)))
    fits = [_ridge(known / scale, has - has.mean(), asked / scale) for scale in (whole, spread)]
    return min(fits, key=lambda fit: fit[0])[1]


def _ridge(
    known: Float[np.ndarray, "known dims"],
    target: Float[np.ndarray, " known"],
    asked: Float[np.ndarray, "asked dims"],
) -> tuple[float, Float[np.ndarray, " asked"]]:
    """Return the least leave-one-out error over penalties, and the scores of that fit.

    All columns and ``target`` have mean 0. Ridge has the error in closed form (Hastie, Tibshirani &
    Friedman 2009, section 7.10).
    """
    left, sizes, axes = np.linalg.svd(known, full_matrices=False)
    kept = sizes > 1e-9 * sizes[0]
    left, sizes, axes = left[:, kept], sizes[kept], axes[kept]
    along = left.T @ target
    shrink = sizes**2 / (sizes**2 + len(known) * PENALTIES[:, None])
    leverage = shrink @ (left**2).T + 1 / len(known)
    residual = (target - (shrink * along) @ left.T) / np.maximum(1.0 - leverage, 1e-9)
    error = (residual**2).mean(axis=1)
    best = shrink[error.argmin()]
    return float(error.min()), asked @ (axes.T @ (best * along / sizes))


def freeze(
    adata: "AnnData", _roles: pd.DataFrame, _board: Board, metrics: Sequence[Metric]
) -> dict[str, Any]:
    """Return the sizes of folds and families, floors, ceilings and trust of a board.

    The ceiling is what the property itself scores as an embedding.
    """
    genes = asked_genes(adata)
    if genes.empty:
        raise TableError("no gene of the property is measured in enough cells to be asked for")
    units = units_of(genes, genes[["has_property"]].to_numpy(dtype=np.float64))
    return {
        "n_genes": {name: len(unit.score) for name, unit in units.items()},
        "families": {
            str(name): {"genes": len(rows), "with_property": int(rows["has_property"].sum())}
            for name, rows in genes.groupby("family")
        },
        "metrics": {m.name: _constants(m, units) for m in metrics},
    }


def _constants(metric: Metric, units: Mapping[str, GenePropertyUnit]) -> dict[str, Any]:
    floor = float(metric.floor or 0.0)
    values, reason = [], ""
    for name, unit in units.items():
        n = min(int(unit.has_property.sum()), int((~unit.has_property).sum()))
        if n < MIN_GENES:
            reason = reason or f"{name} has {n} genes of one kind; {MIN_GENES} needed"
        try:
            values.append(metric.compute(unit))
        except UndefinedScoreError as error:
            reason = reason or f"undefined in {name}: {error}"
    ceiling = float(np.mean(values)) if values else floor
    return {
        "floor": floor,
        "ceiling": ceiling,
        "ceiling_low": ceiling,
        "ceiling_high": ceiling,
        "ceiling_kind": "the property itself",
        "trusted": not reason,
        "reason": reason,
    }
