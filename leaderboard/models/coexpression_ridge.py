"""Regresses shifts on the co-expression embedding of their targets."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from leaderboard.models._coexpression import ShiftFromEmbedding
from leaderboard.spec import Model


@dataclass(frozen=True)
class CoexpressionRidge(ShiftFromEmbedding):
    """Ridge in its dual form, centred on the mean training shift.

    The penalty is relative to the mean squared length of the training embeddings.
    """

    n_dims: int = 20
    ridge: float = 0.1

    def _shift(
        self,
        place: Float[np.ndarray, " dims"],
        known: Float[np.ndarray, "training dims"],
        shifts: Float[np.ndarray, "training genes"],
    ) -> Float[np.ndarray, " genes"]:
        centre, mean = known.mean(axis=0), shifts.mean(axis=0)
        gram = (known - centre) @ (known - centre).T
        penalty = self.ridge * max(float(np.trace(gram)), 1e-12)
        dual = np.linalg.solve(gram + penalty / len(known) * np.eye(len(known)), shifts - mean)
        shift: Float[np.ndarray, " genes"] = mean + (known - centre) @ (place - centre) @ dual
        return shift


MODEL = Model(
    name="coexpression_ridge",
    label="Ridge on co-expression embeddings",
    tasks=("perturbation_prediction",),
    load=CoexpressionRidge,
)
