"""n, mean and variance of the groups of cells of one fold: what perturbation scores are made of."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float, Shaped

from leaderboard.profiles import target_genes
from leaderboard.spec import CONTROL

TRAINING = "train"
TEST = "test"
CONTROL_ROLES = ("control_input", "control_truth")
MIN_CONTROLS = 100
MIN_FOR_WELCH = 5
Profile = Float[np.ndarray, " genes"]
Table = Float[np.ndarray, "groups genes"]


@dataclass(frozen=True, kw_only=True)
class Moments:
    """n, mean and variance of every group of cells of one fold, targets of the panel removed.

    A group is one role, perturbation, context and unit; all arrays are indexed by its number.
    Profiles are in log1p of scaled counts.
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
        return list(self._rows.get((role, context), ()))

    @cached_property
    def _rows(self) -> dict[tuple[str, str | None], list[int]]:
        found: dict[tuple[str, str | None], list[int]] = {}
        for row, place in enumerate(zip(self.role, self.context, strict=True)):
            role, context = map(str, place)
            found.setdefault((role, None), []).append(row)
            found.setdefault((role, context), []).append(row)
        return found

    def control_row(self, role: str, context: str) -> int:
        """Return the number of the group of one half of a context's control cells."""
        return self.rows(role, context)[0]

    def control(self, role: str, context: str) -> Profile:
        """Return the mean of one half of a context's control cells."""
        mean: Profile = self.mean[self.control_row(role, context)]
        return mean

    def n_controls(self, context: str) -> int:
        """Return the number of control cells of a context, both halves together."""
        found = np.isin(self.role, CONTROL_ROLES) & (self.context == context)
        return int(self.n[found].sum())

    def has_enough_controls(self, row: int) -> bool:
        """Whether a group's context holds the control cells that its scores need."""
        return self.n_controls(str(self.context[row])) >= MIN_CONTROLS

    def training_mean(self, context: str) -> Profile:
        """Return the equal-weight mean of training perturbations: of the context, else of all."""
        return self._training_means.get(context, self._training_means[""])

    @cached_property
    def _training_means(self) -> dict[str, Profile]:
        rows = {context: self.rows(TRAINING, context) for context in map(str, set(self.context))}
        return {name: self._centre(rows[name]) for name in rows if rows[name]} | {
            "": self._centre(self.rows(TRAINING))
        }

    def _centre(self, rows: list[int]) -> Profile:
        names = self.perturbation[rows]
        means = self.mean[rows]
        centre: Profile = np.mean(
            [means[names == n].mean(axis=0) for n in np.unique(names)], axis=0
        )
        return centre

    def units(self) -> dict[str, list[int]]:
        """Return the numbers of the test groups of every unit."""
        found: dict[str, list[int]] = {}
        for row in self.rows(TEST):
            found.setdefault(str(self.unit[row]), []).append(row)
        return dict(sorted(found.items()))

    def singles(self, perturbation: str, context: str) -> tuple[Profile, Profile] | None:
        """Return the summed profiles of a pair's singles, and their squared standard error.

        From all cells of each single in the context, in any role; None if not a pair, or if a
        single was not measured there.
        """
        return self._singles.get((perturbation, context))

    @cached_property
    def _singles(self) -> dict[tuple[str, str], tuple[Profile, Profile]]:
        found = {}
        for perturbation, context in set(zip(self.perturbation, self.context, strict=True)):
            names = str(perturbation).split("+")
            rows = [self._rows_of(name, context) for name in names]
            if len(names) == 2 and all(len(r) for r in rows):
                (n_a, mean_a, variance_a), (n_b, mean_b, variance_b) = map(self._pool, rows)
                error = variance_a / n_a + variance_b / n_b
                found[str(perturbation), str(context)] = (mean_a + mean_b, error)
        return found

    def _rows_of(self, perturbation: str, context: str) -> np.ndarray:
        return np.flatnonzero((self.perturbation == perturbation) & (self.context == context))

    def _pool(self, rows: np.ndarray) -> tuple[float, Profile, Profile]:
        """Return n, mean and unbiased variance of the cells of several groups together."""
        n = self.n[rows][:, None]
        total = float(n.sum())
        centre = (n * self.mean[rows]).sum(axis=0) / total
        within = np.where(n > 1, (n - 1) * np.nan_to_num(self.variance[rows]), 0.0)
        spread = within + n * (self.mean[rows] - centre) ** 2
        return total, centre, spread.sum(axis=0) / max(total - 1, 1)

    @cached_property
    def weight(self) -> Float[np.ndarray, "groups genes"]:
        """Weight of every gene in the squared error of every test group; zero for other groups.

        The squared min-max of abs Welch t of the group against all cells of the context's other
        perturbations; with fewer than 5 perturbations in the context, of the training shifts' mean
        over its standard error, moderated by the 90th percentile of the standard deviations.
        """
        weight = np.zeros_like(self.mean)
        for context in np.unique(self.context):
            test = self.rows(TEST, context)
            rows = self.rows(TRAINING, context) + test
            if len(np.unique(self.perturbation[rows])) >= MIN_FOR_WELCH:
                weight[test] = self._welch_weight(test, rows)
            elif test:
                weight[test] = _min_max(_moderated_t(self)) ** 2
        return weight

    def _welch_weight(self, test: Sequence[int], rows: Sequence[int]) -> Table:
        """Welch t of each group against the context's cells less those of its perturbation."""
        n, mean = self.n[rows], self.mean[rows]
        within = np.where(n[:, None] > 1, (n[:, None] - 1) * np.nan_to_num(self.variance[rows]), 0)
        total, square = n[:, None] * mean, within + n[:, None] * mean**2
        sums = (n.sum(), total.sum(axis=0), square.sum(axis=0))
        weights = np.empty((len(test), mean.shape[1]))
        for place, row in enumerate(test):
            own = np.flatnonzero(self.perturbation[rows] == self.perturbation[row])
            n_b = sums[0] - n[own].sum()
            mean_b = (sums[1] - total[own].sum(axis=0)) / n_b
            spread = sums[2] - square[own].sum(axis=0) - n_b * mean_b**2
            var_b = np.maximum(spread, 0.0) / max(n_b - 1, 1)
            error = np.sqrt(np.nan_to_num(self.variance[row]) / self.n[row] + var_b / n_b)
            t = np.zeros_like(error)
            np.divide(self.mean[row] - mean_b, error, out=t, where=error > 1e-12)
            weights[place] = _min_max(np.abs(t)) ** 2
        return weights


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


def target_columns(
    genes: Sequence[str], perturbations: Shaped[np.ndarray, " groups"]
) -> Bool[np.ndarray, " genes"]:
    """Return which genes some perturbation of the panel targets."""
    targets = target_genes([p for p in np.unique(perturbations) if p != CONTROL])
    return np.isin(np.asarray(genes, dtype=str), sorted(targets))


def moments_of(groups: pd.DataFrame, moments: pd.DataFrame) -> Moments:
    """Take the tables of one fold apart and leave out every gene that the panel targets."""
    keep = ~target_columns(list(moments["gene"]), groups["perturbation"].to_numpy(dtype=str))
    kept = moments[keep]
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
