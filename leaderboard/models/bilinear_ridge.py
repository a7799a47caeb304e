"""Predicts a perturbation's shift linearly from how its target is expressed in training."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from jaxtyping import Float

from leaderboard.models._inputs import perturbation_prediction, training_profiles
from leaderboard.spec import Model, RunContext

if TYPE_CHECKING:
    from anndata import AnnData


@dataclass(frozen=True)
class BilinearRidge:
    """Y - mu = G K P' per context (Ahlmann-Eltze et al. 2025, doi:10.1038/s41592-025-02772-6).

    Y (genes x training perturbations) are training profiles, mu their mean, G (genes x dims) the
    scores of the genes on the principal components of Y, and P (perturbations x dims) the rows of G
    of the targets. The scores keep their scale: with unit-length columns the ridge would shrink
    most of P away. A target that is not measured has P = 0, so its prediction is the training mean.
    """

    n_dims: int = 10
    ridge: float = 0.1

    def predict(self, inputs: "AnnData", queries: pd.DataFrame, run: RunContext) -> pd.DataFrame:
        """Return one profile a query; logs the share of queries whose target is measured."""
        profiles = training_profiles(inputs)
        contexts = profiles.index.get_level_values("context")
        rows = np.empty((len(queries), inputs.n_vars))
        for context in np.unique(queries["context"]):
            asked = (queries["context"] == context).to_numpy()
            known = profiles[contexts == context]
            known = profiles if known.empty else known
            training = known.index.get_level_values("perturbation").to_numpy(dtype=str)
            rows[asked] = self._solve(
                known, training, queries.loc[asked, "perturbation"].to_numpy(dtype=str)
            )
        measured = queries["perturbation"].isin(inputs.var_names).mean()
        run.log("measured_targets", float(measured), 0)
        return perturbation_prediction(queries, rows, inputs.var_names)

    def _solve(
        self, known: pd.DataFrame, training: np.ndarray, asked: np.ndarray
    ) -> Float[np.ndarray, "queries genes"]:
        y = known.to_numpy().T
        mu = y.mean(axis=1, keepdims=True)
        u, s, _ = np.linalg.svd(y - y.mean(axis=0), full_matrices=False)
        g = (u * s)[:, : self.n_dims]
        row_of = pd.DataFrame(g, index=known.columns)
        p = row_of.reindex(training).fillna(0.0).to_numpy()
        q = row_of.reindex(asked).fillna(0.0).to_numpy()
        left = np.linalg.solve(g.T @ g + self.ridge * np.eye(g.shape[1]), g.T @ (y - mu))
        k = np.linalg.solve(p.T @ p + self.ridge * np.eye(p.shape[1]), p.T @ left.T).T
        predicted: Float[np.ndarray, "queries genes"] = (g @ k @ q.T + mu).T
        return predicted


MODEL = Model(
    name="bilinear_ridge",
    label="Bilinear ridge",
    tasks=("perturbation_prediction",),
    load=BilinearRidge,
)
