"""Read what the novelty table is made of, and make it for every perturbation board of a dataset."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from leaderboard import layout
from leaderboard.audit._record import BoardFiles
from leaderboard.audit._similarity import (
    Genes,
    ScreenFold,
    Terms,
    novelty_of_fold,
    similarities,
    standardised,
    targets,
    terms_of,
    trained_by_fold,
)
from leaderboard.cases import select
from leaderboard.gene_sets import read_gmt
from leaderboard.io import read_parquet
from leaderboard.models._go import FILE, RESOURCE
from leaderboard.profiles import log_normalise, size_factors
from leaderboard.resources import resource_folders
from leaderboard.spec import CONTROL
from leaderboard.tasks._moments import moments_of

if TYPE_CHECKING:
    from anndata import AnnData


def go_terms() -> Terms:
    """Return the biological processes of every gene, from the table that models may use too."""
    return terms_of(read_gmt(resource_folders([RESOURCE])[RESOURCE] / FILE))


def novelty_of_board(
    suite: str, adata: "AnnData", files: BoardFiles, terms: Terms | None
) -> pd.DataFrame:
    """Return the novelty table of one board, every fold.

    Parameters
    ----------
    adata
        The clean dataset; of its counts only those of control cells that models see are used.
    """
    names = _perturbations(files)
    similar = similarities(names, Genes(expression=_expression(adata, files, names), terms=terms))
    measured = frozenset(adata.var_names.astype(str))
    parts = [novelty_of_fold(fold, similar, measured) for fold in _folds(suite, files)]
    return pd.concat(parts, ignore_index=True)


def _perturbations(files: BoardFiles) -> list[str]:
    names = select(files.obs, files.board)["perturbation"].astype(str).unique()
    return sorted(set(names) - {CONTROL})


def _expression(adata: "AnnData", files: BoardFiles, names: Sequence[str]) -> pd.DataFrame:
    """Return how measured targets vary over the control cells that every fold's models are shown.

    log1p of counts scaled to the median total, standardised within each context.
    """
    is_shown = files.roles["role"] == "control_input"
    cells = adata[files.roles.loc[is_shown, "cell_id"].unique()]
    measured = sorted({gene for p in names for gene in targets(p)} & set(adata.var_names))
    factors = size_factors(cells.X, cells.obs, files.board.size_factor)
    values = log_normalise(cells.X, factors, float(np.median(factors)))
    columns = adata.var_names.get_indexer(measured)
    context = cells.obs[str(files.board.context)].astype(str)
    return pd.DataFrame(standardised(values[:, columns].toarray(), context), columns=measured)


def _folds(suite: str, files: BoardFiles) -> Iterator[ScreenFold]:
    folder = layout.truth(suite, files.board.dataset) / files.board.id
    for fold, trained in trained_by_fold(files).items():
        tables = [
            read_parquet(folder / layout.fold_name(fold) / f"{name}.parquet")
            for name in ("groups", "moments")
        ]
        yield ScreenFold(board=files.board, fold=fold, trained=trained, moments=moments_of(*tables))
