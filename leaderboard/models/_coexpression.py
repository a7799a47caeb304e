"""A gene's embedding from the cells that inputs show: how it varies with the other genes."""

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from leaderboard.models._inputs import log_counts, role_is

if TYPE_CHECKING:
    from anndata import AnnData


def gene_embedding(inputs: "AnnData", n_dims: int) -> pd.DataFrame:
    """Return the loadings of every gene (index: gene) on the components of the input controls.

    Genes are standardised over the control cells, so a row is a gene's correlation profile; the
    loadings keep the scale of their component. Control cells only: no perturbation leaks in.
    """
    controls = log_counts(inputs)[role_is(inputs, "control_input")].toarray()
    values = controls - controls.mean(axis=0)
    spread = values.std(axis=0)
    values = np.divide(values, spread, out=np.zeros_like(values), where=spread > 0)
    _, sizes, axes = np.linalg.svd(values / np.sqrt(max(len(values) - 1, 1)), full_matrices=False)
    loadings = axes[:n_dims].T * sizes[:n_dims]
    loadings *= np.sign(loadings[np.abs(loadings).argmax(axis=0), np.arange(loadings.shape[1])])
    return pd.DataFrame(loadings, index=inputs.var_names.astype(str))
