"""Regulators that trees split on to explain a target: one small forest a gene, as in GENIE3."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from jaxtyping import Float, Int

from leaderboard.models._regulation import (
    EdgeWeights,
    correlations,
    edge_table,
    expression,
    regulator_places,
)
from leaderboard.profiles import group_moments
from leaderboard.spec import Model, RunContext

if TYPE_CHECKING:
    from anndata import AnnData


@dataclass(frozen=True)
class GrnTrees:
    """Extremely randomised trees from the regulators to each target, scaled to unit variance.

    Huynh-Thu et al. 2010, doi:10.1371/journal.pone.0012776. An edge's weight is the variance that
    splits on the regulator take from the target, its sign that of their correlation over all cells.
    The trees see a sample of the cells, and answer for the most variable genes only.
    """

    n_trees: int = 10
    n_cells: int = 2500
    n_targets: int = 2000
    leaf_fraction: float = 0.01
    """Least share of the cells in a leaf."""

    def score_edges(
        self, inputs: "AnnData", queries: pd.DataFrame, run: RunContext
    ) -> pd.DataFrame:
        """Return the pairs of regulator and variable gene."""
        values, regulators = expression(inputs), regulator_places(inputs, queries)
        genes = inputs.var_names.to_numpy(dtype=str)
        rng = np.random.default_rng(run.seed)
        cells = np.sort(rng.permutation(values.shape[0])[: self.n_cells])
        targets = _variable(values[cells], genes, self.n_targets)
        seeds = rng.integers(2**31 - 1, size=len(targets)).tolist()
        expressed = values[cells].tocsc()
        shown = expressed[:, regulators].toarray().astype(np.float32)

        def grow(task: tuple[int, int]) -> Float[np.ndarray, " others"]:
            gene, seed = task
            target = expressed[:, [gene]].toarray().ravel()
            return self._importance(shown[:, regulators != gene], target, seed)

        with ThreadPoolExecutor(run.threads) as pool:  # trees are grown outside of Python's lock
            importance = list(pool.map(grow, zip(targets, seeds, strict=True)))
        sign = np.where(np.nan_to_num(correlations(values, regulators)) < 0, -1.0, 1.0)
        return edge_table(
            inputs, regulators, sign * _placed(importance, targets, regulators, genes)
        )

    def _importance(
        self,
        shown: Float[np.ndarray, "cells others"],
        target: Float[np.ndarray, " cells"],
        seed: int,
    ) -> Float[np.ndarray, " others"]:
        """Return the mean variance that each regulator explains, of a target with variance 1."""
        from sklearn.ensemble import ExtraTreesRegressor

        forest: Any = ExtraTreesRegressor(
            n_estimators=self.n_trees,
            max_features="sqrt",
            min_samples_leaf=self.leaf_fraction,
            random_state=seed,
        )
        forest.fit(shown, (target - target.mean()) / target.std())
        trees = [tree.tree_.compute_feature_importances(normalize=False) for tree in forest]
        explained: Float[np.ndarray, " others"] = np.mean(trees, axis=0)
        return explained


def _variable(values: Any, genes: np.ndarray, n_targets: int) -> Int[np.ndarray, " targets"]:
    """Return the genes of largest variance in the order of their names, constant ones left out."""
    _, _, variance = group_moments(values, np.zeros(values.shape[0], dtype=int), 1)
    order = np.lexsort((genes, -variance[0]))[:n_targets]
    chosen = order[variance[0][order] > 0]
    by_name: Int[np.ndarray, " targets"] = chosen[np.argsort(genes[chosen])]
    return by_name


def _placed(
    importance: list[Float[np.ndarray, " others"]],
    targets: Int[np.ndarray, " targets"],
    regulators: Int[np.ndarray, " regulators"],
    genes: np.ndarray,
) -> EdgeWeights:
    """Return importances as regulators x genes; NaN where no forest was grown."""
    weights = np.full((len(regulators), len(genes)), np.nan)
    for gene, explained in zip(targets, importance, strict=True):
        weights[regulators != gene, gene] = explained
    return weights


MODEL = Model(
    name="grn_trees",
    label="Trees per target",
    tasks=("gene_network",),
    load=GrnTrees,
    is_stochastic=True,
)
