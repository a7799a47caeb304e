"""A gene's embedding from the cells that inputs show: how it varies with the other genes."""

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float

from leaderboard.models._inputs import (
    control_profiles,
    log_counts,
    perturbation_prediction,
    role_is,
    training_shifts,
)
from leaderboard.spec import RunContext

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


def embed(embedding: pd.DataFrame, perturbation: str) -> Float[np.ndarray, " dims"] | None:
    """Return the sum over a perturbation's targets; None if none of them is measured."""
    known = [gene for gene in perturbation.split("+") if gene in embedding.index]
    return embedding.loc[known].to_numpy().sum(axis=0) if known else None


ShiftOf = Callable[
    [
        Float[np.ndarray, " dims"],
        Float[np.ndarray, "training dims"],
        Float[np.ndarray, "training genes"],
    ],
    Float[np.ndarray, " genes"],
]
"""From the place of a target, the places and the shifts of training, to a shift."""


def predict_shifts(
    inputs: "AnnData", queries: pd.DataFrame, n_dims: int, shift_of: ShiftOf, run: RunContext
) -> pd.DataFrame:
    """Return one profile a query, from the training perturbations of its context or of all.

    Where no target is measured the prediction is the mean training shift. Logs the share of queries
    with a measured target.
    """
    embedding = gene_embedding(inputs, n_dims)
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
    run.log("measured_targets", float(np.mean([a is not None for a in asked])), 0)
    return perturbation_prediction(queries, controls + rows, inputs.var_names)


def nearest(
    place: Float[np.ndarray, " dims"], known: Float[np.ndarray, "training dims"], k: int
) -> Bool[np.ndarray, " training"]:
    """Return which training perturbations are among the k nearest by cosine; ties are all in."""
    norm = np.linalg.norm(known, axis=1) * np.linalg.norm(place)
    cosine = np.divide(known @ place, norm, out=np.zeros(len(known)), where=norm > 0)
    limit = np.sort(cosine)[::-1][min(k, len(cosine)) - 1]
    near: Bool[np.ndarray, " training"] = cosine >= limit - 1e-12
    return near
