"""Moments, weights and units of a perturbation board: arrays in, unit records out."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from jaxtyping import Float, Shaped

from leaderboard.profiles import target_genes
from leaderboard.spec import CONTROL, PerturbationUnit

TRAINING = "train"
MIN_CONTROLS = 100
MIN_FOR_WELCH = 5
RESOLUTION = 1e-5
"""Shifts this small, in log1p units, are the rounding of float32 predictions."""
Profile = Float[np.ndarray, " genes"]


@dataclass(frozen=True, kw_only=True)
class Moments:
    """n, mean and variance of every group of cells of one fold, targets of the panel removed.

    A group is one role, perturbation, context and unit; all arrays are indexed by its number.
    """

    role: Shaped[np.ndarray, " groups"]
    perturbation: Shaped[np.ndarray, " groups"]
    context: Shaped[np.ndarray, " groups"]
    unit: Shaped[np.ndarray, " groups"]
    n: Float[np.ndarray, " groups"]
    mean: Float[np.ndarray, "groups genes"]
    variance: Float[np.ndarray, "groups genes"]
    genes: tuple[str, ...]

    def rows(self, role: str, context: str | None = None) -> list[int]:
        """Return the numbers of the groups of one role, in one context or in all."""
        found = self.role == role
        if context is not None:
            found &= self.context == context
        return [int(row) for row in np.flatnonzero(found)]

    def control(self, role: str, context: str) -> Profile:
        """Return the mean of one half of a context's control cells."""
        mean: Profile = self.mean[self.rows(role, context)[0]]
        return mean

    def n_controls(self, context: str) -> int:
        """Return the number of control cells of a context, both halves together."""
        found = np.isin(self.role, ["control_input", "control_truth"]) & (self.context == context)
        return int(self.n[found].sum())

    def has_enough_controls(self, row: int) -> bool:
        """Whether a group's context holds the control cells that its scores need."""
        return self.n_controls(str(self.context[row])) >= MIN_CONTROLS

    def training_mean(self, context: str) -> Profile:
        """Return the equal-weight mean of training profiles: of the context, else of all."""
        rows = self.rows(TRAINING, context) or self.rows(TRAINING)
        centre: Profile = self.mean[rows].mean(axis=0)
        return centre

    def units(self) -> dict[str, list[int]]:
        """Return the numbers of the test groups of every unit."""
        found: dict[str, list[int]] = {}
        for row in self.rows("test"):
            found.setdefault(str(self.unit[row]), []).append(row)
        return dict(sorted(found.items()))


def read_moments(groups: pd.DataFrame, moments: pd.DataFrame) -> Moments:
    """Take the tables of one fold apart and leave out every gene that the panel targets."""
    targets = target_genes([p for p in groups["perturbation"].unique() if p != CONTROL])
    kept = moments[~moments["gene"].isin(targets)]
    numbers = range(len(groups))
    return Moments(
        role=groups["role"].to_numpy(dtype=str),
        perturbation=groups["perturbation"].to_numpy(dtype=str),
        context=groups["context"].to_numpy(dtype=str),
        unit=groups["unit"].to_numpy(dtype=str),
        n=groups["n"].to_numpy(dtype=np.float64),
        mean=kept[[f"mean:{k}" for k in numbers]].to_numpy(dtype=np.float64).T,
        variance=kept[[f"variance:{k}" for k in numbers]].to_numpy(dtype=np.float64).T,
        genes=tuple(kept["gene"]),
    )


def weights(moments: Moments, row: int) -> Profile:
    """Return the weight of every gene in the squared error of one test group.

    The squared min-max of abs Welch t of the group against all cells of the context's other
    perturbations; with fewer than 5 perturbations in the context, of the training shifts' mean over
    its standard error, moderated by the 90th percentile of the standard deviations.
    """
    context = str(moments.context[row])
    rows = moments.rows(TRAINING, context) + moments.rows("test", context)
    if len(np.unique(moments.perturbation[rows])) >= MIN_FOR_WELCH:
        others = [r for r in rows if moments.perturbation[r] != moments.perturbation[row]]
        return _min_max(np.abs(_welch_t(moments, [row], others))) ** 2
    return _min_max(_moderated_t(moments)) ** 2


def _pooled(moments: Moments, rows: Sequence[int]) -> tuple[float, Profile, Profile]:
    """Return n, mean and unbiased variance of the cells of several groups together."""
    n = moments.n[list(rows)][:, None]
    mean = moments.mean[list(rows)]
    total = float(n.sum())
    centre = (n * mean).sum(axis=0) / total
    within = np.where(n > 1, (n - 1) * np.nan_to_num(moments.variance[list(rows)]), 0.0)
    spread = within + n * (mean - centre) ** 2
    return total, centre, spread.sum(axis=0) / max(total - 1, 1)


def _welch_t(moments: Moments, rows: Sequence[int], others: Sequence[int]) -> Profile:
    n_a, mean_a, var_a = _pooled(moments, rows)
    n_b, mean_b, var_b = _pooled(moments, others)
    error = np.sqrt(var_a / n_a + var_b / n_b)
    t: Profile = np.zeros_like(error)
    np.divide(mean_a - mean_b, error, out=t, where=error > 0)
    return t


def _moderated_t(moments: Moments) -> Profile:
    rows = moments.rows(TRAINING)
    controls = [moments.control("control_input", str(moments.context[row])) for row in rows]
    deltas = moments.mean[rows] - np.stack(controls)
    sd = deltas.std(axis=0, ddof=1) if len(rows) > 1 else np.zeros(deltas.shape[1])
    positive = sd[sd > 0]
    s0 = float(np.quantile(positive, 0.9)) if len(positive) else 1.0
    a: Profile = np.abs(deltas.mean(axis=0)) * np.sqrt(len(rows)) / (sd + s0)
    return a


def _min_max(values: Profile) -> Profile:
    span = np.ptp(values)
    scaled: Profile = (values - values.min()) / span if span > 0 else np.zeros_like(values)
    return scaled


def unit_parts(
    moments: Moments,
    predicted: Mapping[tuple[str, str], Profile],
    rows: Sequence[int],
    *,
    truth: Float[np.ndarray, "groups genes"] | None = None,
    gene_weights: Mapping[int, Profile] | None = None,
) -> tuple[PerturbationUnit, ...]:
    """Return the unit records of some test groups, one a group.

    Parameters
    ----------
    predicted
        Profile of every (perturbation, context) that ``rows`` ask for.
    truth
        Replaces the means of all groups, for split halves; same shape as ``moments.mean``.
    gene_weights
        Weights by group number, where they are known already.
    """
    means = moments.mean if truth is None else truth
    parts = []
    for row in rows:
        context = str(moments.context[row])
        others = [r for r in moments.rows("test", context) if r != row]
        control_truth = moments.rows("control_truth", context)[0]
        control_input = moments.control("control_input", context)
        profile = predicted[str(moments.perturbation[row]), context]
        parts.append(
            PerturbationUnit(
                predicted=np.where(
                    np.abs(profile - control_input) < RESOLUTION, control_input, profile
                ),
                truth=means[row],
                control_input=control_input,
                control_truth=means[control_truth],
                weight=gene_weights[row] if gene_weights else weights(moments, row),
                other_truths=means[others],
            )
        )
    return tuple(parts)
