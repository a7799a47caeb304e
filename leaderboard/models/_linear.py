"""The light heads on places of cells: what an embedding says by a linear model on top of it."""

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from jaxtyping import Float

from leaderboard.models._inputs import annotation, fitted, labels, test_cells
from leaderboard.models._proteins import known_proteins, protein_prediction
from leaderboard.spec import RunContext

if TYPE_CHECKING:
    from anndata import AnnData

Places = Float[np.ndarray, "cells dims"]


def linear_annotation(
    inputs: "AnnData", places: Places, run: RunContext, **settings: Any
) -> pd.DataFrame:
    """Return labels with probabilities by scikit-learn's multinomial logistic regression.

    Parameters
    ----------
    inputs
        Of an annotation board; fitted cells teach, test cells are asked.
    places
        A row a cell of ``inputs``; what is taken of it: see ``_scaled``.
    settings
        Of the classifier: ``C`` is one over the L2 penalty, ``max_iter``.
    """
    from sklearn.linear_model import LogisticRegression
    from threadpoolctl import threadpool_limits

    train, test = _scaled(inputs, places)
    classifier = LogisticRegression(**settings)
    # Hundreds of products with a narrow matrix: threads wait longer than they work.
    with threadpool_limits(limits=1):
        classifier.fit(train, labels(inputs))
    run.log("iterations", float(classifier.n_iter_.max()), 0)
    probabilities = classifier.predict_proba(test)
    names = classifier.classes_
    return annotation(inputs, names[probabilities.argmax(axis=1)], (names, probabilities))


def ridge_proteins(inputs: "AnnData", places: Places, alpha: float) -> pd.DataFrame:
    """Return every protein of the test cells by scikit-learn's ridge regression on places."""
    from sklearn.linear_model import Ridge

    train, test = _scaled(inputs, places)
    model = Ridge(alpha=alpha).fit(train, known_proteins(inputs))
    return protein_prediction(inputs, model.predict(test))


def _scaled(inputs: "AnnData", places: Places) -> tuple[Places, Places]:
    """Return the places of fitted and test cells, centred on the fitted ones.

    One scale for all dimensions keeps the order of importance that the embedding gives them. That
    of the centred places: an embedding may stand far from the origin and vary little.
    """
    train, test = places[fitted(inputs)], places[test_cells(inputs)]
    centre = train.mean(axis=0)
    scale = (train - centre).std() or 1.0
    return (train - centre) / scale, (test - centre) / scale
