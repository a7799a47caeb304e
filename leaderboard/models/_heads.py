"""One head a task for every model that places cells or genes: an embedding enters every task.

A row of the leaderboard then says what an embedding holds, and not who tuned a classifier longest.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from leaderboard.models._embedding import cosines, predict_shifts, ridge_shift
from leaderboard.models._genes import gene_table
from leaderboard.models._inputs import embedding_table
from leaderboard.models._linear import Places, linear_annotation, ridge_proteins
from leaderboard.models._regulation import edge_table, regulator_places
from leaderboard.spec import RunContext

if TYPE_CHECKING:
    from anndata import AnnData

RIDGE = 0.1
"""Penalty of the regression of shifts on places of genes, see ``ridge_shift``."""


@dataclass(frozen=True, kw_only=True)
class Heads(ABC):
    """A model that places cells and genes, with a light head for each task."""

    @abstractmethod
    def place_cells(self, inputs: "AnnData", run: RunContext) -> Places:
        """Return a row for every cell, in the order of ``inputs``."""

    @abstractmethod
    def place_genes(self, inputs: "AnnData", run: RunContext) -> pd.DataFrame:
        """Return a row for every gene that the model knows (index: its name in ``inputs``)."""

    def annotate(self, inputs: "AnnData", run: RunContext) -> pd.DataFrame:
        """Return labels by logistic regression on places of cells."""
        return linear_annotation(inputs, self.place_cells(inputs, run), run, max_iter=1000)

    def embed(self, inputs: "AnnData", run: RunContext) -> pd.DataFrame:
        """Return the places of all cells as they are."""
        return embedding_table(inputs, self.place_cells(inputs, run))

    def predict_proteins(self, inputs: "AnnData", run: RunContext) -> pd.DataFrame:
        """Return proteins by ridge regression on places of cells."""
        return ridge_proteins(inputs, self.place_cells(inputs, run), 1.0)

    def embed_genes(
        self, inputs: "AnnData", queries: pd.DataFrame, run: RunContext
    ) -> pd.DataFrame:
        """Return the places of genes as they are; zeros for a gene that the model does not know."""
        places = self.place_genes(inputs, run)
        return gene_table(queries, places.reindex(queries["gene"]).fillna(0.0).to_numpy())

    def predict(self, inputs: "AnnData", queries: pd.DataFrame, run: RunContext) -> pd.DataFrame:
        """Return shifts by ridge regression on the places of the targets."""

        def shift(place: Any, known: Any, shifts: Any) -> Any:
            return ridge_shift(place, known, shifts, RIDGE)

        return predict_shifts(inputs, queries, self.place_genes(inputs, run), shift, run)

    def score_edges(
        self, inputs: "AnnData", queries: pd.DataFrame, run: RunContext
    ) -> pd.DataFrame:
        """Return the cosine of the places of regulator and target; no edge where one has none."""
        places = self.place_genes(inputs, run).reindex(inputs.var_names.astype(str)).to_numpy()
        regulators = regulator_places(inputs, queries)
        weights = np.stack([cosines(places[r], places) for r in regulators])
        weights[:, ~np.isfinite(places).all(axis=1)] = np.nan
        weights[~np.isfinite(places[regulators]).all(axis=1)] = np.nan
        return edge_table(inputs, regulators, weights)
