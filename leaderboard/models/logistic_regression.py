"""Multinomial logistic regression on the principal components of highly variable genes."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pandas as pd

from leaderboard.models._hvg_pca import hvg_pca
from leaderboard.models._inputs import annotation, fitted, labels, test_cells
from leaderboard.spec import Model, RunContext

if TYPE_CHECKING:
    from anndata import AnnData


@dataclass(frozen=True)
class LogisticRegression:
    """scikit-learn's, with standardised components and an L2 penalty 1/c."""

    n_genes: int = 2000
    n_dims: int = 50
    c: float = 1.0
    max_iterations: int = 1000

    def annotate(self, inputs: "AnnData", run: RunContext) -> pd.DataFrame:
        """Return labels with probabilities."""
        from sklearn.linear_model import LogisticRegression as Classifier
        from threadpoolctl import threadpool_limits

        components = hvg_pca(inputs, self.n_genes, self.n_dims)
        train, test = components[fitted(inputs)], components[test_cells(inputs)]
        # One scale for all components keeps the order of importance that PCA found.
        scale = train.std()
        classifier = Classifier(C=self.c, max_iter=self.max_iterations)
        # Hundreds of products with a narrow matrix: threads wait longer than they work.
        with threadpool_limits(limits=1):
            classifier.fit(train / scale, labels(inputs))
        run.log("iterations", float(classifier.n_iter_.max()), 0)
        probabilities = classifier.predict_proba(test / scale)
        names = classifier.classes_
        return annotation(inputs, names[probabilities.argmax(axis=1)], (names, probabilities))


MODEL = Model(
    name="logistic_regression",
    label="Logistic regression on HVG-PCA",
    tasks=("cell_type_annotation",),
    load=LogisticRegression,
)
