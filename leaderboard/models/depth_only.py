"""An adversary that looks at no gene: everything is a matter of how many counts a cell has."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import scipy.sparse as sp

from leaderboard.models._bins import answer_by_bin
from leaderboard.models._genes import asked_expression, correlation, gene_table
from leaderboard.models._inputs import (
    control_profiles,
    embedding_table,
    fitted,
    perturbation_prediction,
    test_cells,
    training_profiles,
)
from leaderboard.models._proteins import known_proteins, protein_prediction
from leaderboard.models._regulation import correlations, edge_table, expression, regulator_places
from leaderboard.profiles import size_factors
from leaderboard.spec import Model, RunContext

if TYPE_CHECKING:
    from anndata import AnnData


@dataclass(frozen=True)
class DepthOnly:
    """Bins of the panel's total counts that hold equal numbers of training cells."""

    n_bins: int = 20

    def annotate(self, inputs: "AnnData", _run: RunContext) -> pd.DataFrame:
        """Return the commonest training label of every cell's bin, with shares of labels."""
        return answer_by_bin(inputs, self._bins(inputs))

    def _bins(self, inputs: "AnnData") -> np.ndarray:
        depth = size_factors(inputs.X, inputs.obs, "panel")
        inner = np.arange(1, self.n_bins) / self.n_bins
        edges = np.quantile(depth[fitted(inputs)], inner)
        return np.searchsorted(edges, depth, side="right")

    def embed(self, inputs: "AnnData", _run: RunContext) -> pd.DataFrame:
        """Return the log of total counts as the only dimension."""
        depth = size_factors(inputs.X, inputs.obs, "panel")
        return embedding_table(inputs, np.log1p(depth)[:, None])

    def predict(self, inputs: "AnnData", queries: pd.DataFrame, _run: RunContext) -> pd.DataFrame:
        """Return each context's control mean, scaled as all controls together fit training best."""
        controls = control_profiles(inputs)
        profiles = training_profiles(inputs)
        known = controls.loc[profiles.index.get_level_values("context")].to_numpy()
        scale = float((known * profiles.to_numpy()).sum() / (known**2).sum())
        rows = scale * controls.loc[queries["context"]].to_numpy()
        return perturbation_prediction(queries, rows, inputs.var_names)

    def predict_proteins(self, inputs: "AnnData", _run: RunContext) -> pd.DataFrame:
        """Return the mean proteins of the training cells of every cell's bin, of all if none."""
        number, values = self._bins(inputs), known_proteins(inputs)
        means = pd.DataFrame(values).groupby(number[fitted(inputs)]).mean()
        means = means.reindex(range(self.n_bins)).fillna(pd.Series(values.mean(axis=0)))
        return protein_prediction(inputs, means.to_numpy()[number[test_cells(inputs)]])

    def score_edges(
        self, inputs: "AnnData", queries: pd.DataFrame, _run: RunContext
    ) -> pd.DataFrame:
        """Return how regulator and target both follow the log of the cell's total counts."""
        order = np.argsort(inputs.obs_names.to_numpy(dtype=str), kind="stable")
        depth = np.log1p(size_factors(inputs.X, inputs.obs, "panel")[order])
        last = np.array([inputs.n_vars])
        with_depth = correlations(sp.hstack([expression(inputs), depth[:, None]]).tocsr(), last)
        follows = np.nan_to_num(with_depth[0, :-1])
        regulators = regulator_places(inputs, queries)
        return edge_table(inputs, regulators, np.outer(follows[regulators], follows))

    def embed_genes(
        self, inputs: "AnnData", queries: pd.DataFrame, _run: RunContext
    ) -> pd.DataFrame:
        """Return how each gene follows the log of the cell's total counts."""
        values, depth = asked_expression(inputs, queries)
        return gene_table(queries, correlation(values, depth[:, None]))


MODEL = Model(
    name="depth_only",
    label="Depth only (adversary)",
    tasks=(
        "batch_integration",
        "cell_type_annotation",
        "gene_network",
        "gene_property",
        "modality_prediction",
        "perturbation_prediction",
    ),
    load=DepthOnly,
    is_adversary=True,
)
