"""From the moments of a fold to the unit records that metrics see."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from jaxtyping import Float

from leaderboard.spec import PerturbationUnit
from leaderboard.tasks._moments import Moments, Profile

RESOLUTION = 1e-5
"""Shifts this small, in log1p units, are the rounding of float32 predictions."""
Key = tuple[str, str]
"""Perturbation and context."""


def key_of(moments: Moments, row: int) -> Key:
    """Return perturbation and context of a group."""
    return str(moments.perturbation[row]), str(moments.context[row])


def unit_parts(
    moments: Moments,
    predicted: Mapping[Key, Profile],
    rows: Sequence[int],
    *,
    truth: Float[np.ndarray, "groups genes"] | None = None,
    extra: Mapping[Key, Mapping[str, Any]] | None = None,
) -> tuple[PerturbationUnit, ...]:
    """Return the unit records of some test groups, one a group.

    Parameters
    ----------
    predicted
        Profile of every (perturbation, context) that ``rows`` ask for, over ``moments.genes``.
    truth
        Replaces the means of all groups, for split halves; same shape as ``moments.mean``.
    extra
        Predicted variance and cells, where the entry gives them, as fields of the record.
    """
    means = moments.mean if truth is None else truth
    contexts = sorted({key_of(moments, row)[1] for row in rows})
    around = {context: _surroundings(moments, means, context) for context in contexts}
    parts = []
    for row in rows:
        key = key_of(moments, row)
        part = _part(moments, row, predicted[key], around[key[1]])
        parts.append(replace(part, **extra[key]) if extra and key in extra else part)
    return tuple(parts)


@dataclass(frozen=True, kw_only=True)
class _Surroundings:
    """What all units of a fold and context share."""

    means: Float[np.ndarray, "groups genes"]
    test: Float[np.ndarray, "tests genes"]
    norms: Float[np.ndarray, " tests"]
    place: Mapping[int, int]
    """Row of ``test`` by number of group."""
    control: int


def _surroundings(
    moments: Moments, means: Float[np.ndarray, "groups genes"], context: str
) -> _Surroundings:
    rows = moments.rows("test", context)
    control = moments.control_row("control_truth", context)
    test = means[rows]
    return _Surroundings(
        means=means,
        test=test,
        norms=np.linalg.norm(test - means[control], axis=1),
        place={row: k for k, row in enumerate(rows)},
        control=control,
    )


def _part(moments: Moments, row: int, profile: Profile, around: _Surroundings) -> PerturbationUnit:
    perturbation, context = key_of(moments, row)
    control_input = moments.control("control_input", context)
    singles = moments.singles(perturbation, context) or (None, None)
    return PerturbationUnit(
        predicted=np.where(np.abs(profile - control_input) < RESOLUTION, control_input, profile),
        truth=around.means[row],
        control_input=control_input,
        control_truth=around.means[around.control],
        weight=moments.weight[row],
        other_truths=around.test,
        own=around.place[row],
        other_norms=around.norms,
        reference=moments.training_mean(context),
        n=int(moments.n[row]),
        n_control=int(moments.n[around.control]),
        variance=moments.variance[row],
        control_variance=moments.variance[around.control],
        singles=singles[0],
        singles_error=singles[1],
    )
