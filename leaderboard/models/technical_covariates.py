"""What two technical numbers of a cell say about its type: a number to show, never a gate.

Types differ in size, so sound data reach well above chance here.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from leaderboard.models._inputs import annotation, fitted, labels, test_cells
from leaderboard.profiles import size_factors
from leaderboard.spec import Model, RunContext

if TYPE_CHECKING:
    from anndata import AnnData


@dataclass(frozen=True)
class TechnicalCovariates:
    """A small decision tree on total counts and number of genes found."""

    n_leaves: int = 32
    min_cells: int = 5

    def annotate(self, inputs: "AnnData", _run: RunContext) -> pd.DataFrame:
        """Return labels with the shares of labels in the tree's leaves."""
        from sklearn.tree import DecisionTreeClassifier

        kind = "total" if "total_counts_all_genes" in inputs.obs else "panel"
        n_counts = size_factors(inputs.X, inputs.obs, kind)
        n_genes = np.asarray((inputs.X > 0).sum(axis=1)).ravel()
        features = np.stack([n_counts, n_genes], axis=1)
        tree = DecisionTreeClassifier(
            max_leaf_nodes=self.n_leaves, min_samples_leaf=self.min_cells, random_state=0
        )
        tree.fit(features[fitted(inputs)], labels(inputs))
        share = tree.predict_proba(features[test_cells(inputs)])
        return annotation(inputs, tree.classes_[share.argmax(axis=1)], (tree.classes_, share))


MODEL = Model(
    name="technical_covariates",
    label="Technical covariates (shown, never a gate)",
    tasks=("cell_type_annotation",),
    load=TechnicalCovariates,
)
