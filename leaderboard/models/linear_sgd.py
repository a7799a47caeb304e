"""A linear classifier over all genes, trained by stochastic gradient descent."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import scipy.sparse as sp
from jaxtyping import Float

from leaderboard.models._inputs import annotation, fitted, labels, log_counts, test_cells
from leaderboard.profiles import group_moments
from leaderboard.spec import Model, RunContext

if TYPE_CHECKING:
    from anndata import AnnData


@dataclass(frozen=True)
class LinearSgd:
    """scikit-learn's logistic loss, one label against the rest, weights averaged over steps."""

    alpha: float = 1e-3
    epochs: int = 10

    def annotate(self, inputs: "AnnData", run: RunContext) -> pd.DataFrame:
        """Return labels with probabilities.

        Log counts are divided by their deviation and not centred, so that they stay sparse. Cells
        are fitted in the order of their ids: the seed alone decides the order of steps.
        """
        from sklearn.linear_model import SGDClassifier

        values, is_fitted = log_counts(inputs), fitted(inputs)
        order = np.argsort(inputs.obs_names[is_fitted].to_numpy(dtype=str))
        train = values[is_fitted][order]
        scale = sp.diags_array(_inverse_deviation(train))
        epochs = min(self.epochs, run.max_epochs or self.epochs)
        classifier = SGDClassifier(
            loss="log_loss", alpha=self.alpha, max_iter=epochs, tol=None, average=True,
            random_state=run.seed, n_jobs=run.threads,
        )  # fmt: skip
        classifier.fit(train @ scale, labels(inputs)[order])
        decision = classifier.decision_function(values[test_cells(inputs)] @ scale)
        names = classifier.classes_
        share = _shares(decision)
        return annotation(inputs, names[share.argmax(axis=1)], (names, share))


def _inverse_deviation(values: sp.csr_matrix) -> Float[np.ndarray, " genes"]:
    """Return 1 / deviation of every gene over cells; 0 for a gene that does not vary."""
    _, _, variance = group_moments(values, np.zeros(values.shape[0], dtype=int), 1)
    deviation = np.sqrt(variance[0])
    inverse: Float[np.ndarray, " genes"] = np.divide(
        1.0, deviation, out=np.zeros_like(deviation), where=deviation > 0
    )
    return inverse


def _shares(decision: np.ndarray) -> Float[np.ndarray, "cells labels"]:
    """Return one-against-rest probabilities that sum to 1, also where each of them underflows."""
    if decision.ndim == 1:  # two labels have one decision
        decision = np.stack([-decision, decision], axis=1)
    log = -np.logaddexp(0.0, -decision)
    share = np.exp(log - log.max(axis=1, keepdims=True))
    shares: Float[np.ndarray, "cells labels"] = share / share.sum(axis=1, keepdims=True)
    return shares


MODEL = Model(
    name="linear_sgd",
    label="Linear SGD on all genes",
    tasks=("cell_type_annotation",),
    load=LinearSgd,
    is_stochastic=True,
)
