"""From embeddings of genes to the shift of a perturbation: by neighbours or by ridge."""

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float

from leaderboard.models._inputs import control_profiles, perturbation_prediction, training_shifts
from leaderboard.spec import RunContext

if TYPE_CHECKING:
    from anndata import AnnData

ShiftOf = Callable[
    [
        Float[np.ndarray, " dims"],
        Float[np.ndarray, "training dims"],
        Float[np.ndarray, "training genes"],
    ],
    Float[np.ndarray, " genes"],
]
"""From the place of a target, the places and the shifts of training, to a shift."""


def embed(embedding: pd.DataFrame, perturbation: str) -> Float[np.ndarray, " dims"] | None:
    """Return the sum over a perturbation's targets; None if none is in the embedding's index."""
    known = [gene for gene in perturbation.split("+") if gene in embedding.index]
    return embedding.loc[known].to_numpy().sum(axis=0) if known else None


def predict_shifts(
    inputs: "AnnData",
    queries: pd.DataFrame,
    embedding: pd.DataFrame,
    shift_of: ShiftOf,
    run: RunContext,
) -> pd.DataFrame:
    """Return one profile a query, from the training perturbations of its context or of all.

    Where no target is in the embedding (index: gene) the prediction is the mean training shift.
    Logs the share of queries with a target that is.
    """
    shifts = training_shifts(inputs)
    places = [embed(embedding, p) for p in shifts.index.get_level_values("perturbation")]
    is_known = np.array([place is not None for place in places])
    asked = [embed(embedding, p) for p in queries["perturbation"]]
    rows = np.tile(shifts.mean().to_numpy(), (len(queries), 1))
    contexts = shifts.index.get_level_values("context").to_numpy(dtype=str)
    for number, (place, context) in enumerate(zip(asked, queries["context"], strict=True)):
        own = is_known & (contexts == context)
        own = own if own.any() else is_known
        if place is not None and own.any():
            known = [p for p, chosen in zip(places, own, strict=True) if chosen and p is not None]
            rows[number] = shift_of(place, np.stack(known), shifts.to_numpy()[own])
    controls = control_profiles(inputs).loc[queries["context"]].to_numpy()
    run.log("embedded_targets", float(np.mean([a is not None for a in asked])), 0)
    return perturbation_prediction(queries, controls + rows, inputs.var_names)


def cosines(
    place: Float[np.ndarray, " dims"], known: Float[np.ndarray, "training dims"]
) -> Float[np.ndarray, " training"]:
    """Return the cosine of a place with each training place; 0 where either has no length."""
    norm = np.linalg.norm(known, axis=1) * np.linalg.norm(place)
    found: Float[np.ndarray, " training"] = np.divide(
        known @ place, norm, out=np.zeros(len(known)), where=norm > 0
    )
    return found


def nearest(similarity: Float[np.ndarray, " training"], k: int) -> Bool[np.ndarray, " training"]:
    """Return which training perturbations are among the k most similar; ties are all in."""
    limit = np.sort(similarity)[::-1][min(k, len(similarity)) - 1]
    near: Bool[np.ndarray, " training"] = similarity >= limit - 1e-12
    return near


def ridge_shift(
    place: Float[np.ndarray, " dims"],
    known: Float[np.ndarray, "training dims"],
    shifts: Float[np.ndarray, "training genes"],
    ridge: float,
) -> Float[np.ndarray, " genes"]:
    """Return the shift that ridge in its dual form, centred on the mean of training, gives a place.

    The penalty is ``ridge`` times the mean squared length of the centred training places.
    """
    centre, mean = known.mean(axis=0), shifts.mean(axis=0)
    gram = (known - centre) @ (known - centre).T
    penalty = ridge * max(float(np.trace(gram)), 1e-12)
    dual = np.linalg.solve(gram + penalty / len(known) * np.eye(len(known)), shifts - mean)
    shift: Float[np.ndarray, " genes"] = mean + (known - centre) @ (place - centre) @ dual
    return shift
