"""What a perfect, noise-free predictor would have said: draws of the truth behind a noisy mean.

A sample mean t = mu + e is known; mu is not. The shifts mu - centre of all genes of one unit are
taken as draws of a scale mixture of normals around zero, fitted by EM to t and its standard errors
(adaptive shrinkage, Stephens 2017, doi:10.1093/biostatistics/kxw041); genes of like error share a
mixture, since well-expressed ones shift further in units of their error. Draws of mu from its
posterior, scored against t, say what knowing the truth is worth on this board. The naive answer
(noise around t itself, at its standard error) is too good: weights are taken from t, so they pick
the genes that noise moved most.

A metric that compares perturbations asks for more: a weak one resembles its stronger relatives, and
draws that take genes as independent resemble them too little. There, what the shifts of the other
perturbations have in common is drawn as a whole, and the mixture holds for the rest.
"""

import numpy as np
from jaxtyping import Float

from leaderboard.tasks._moments import Moments, Profile

N_ITERATIONS = 200
N_BINS = 256
GRID_STEP = np.sqrt(2.0)
SMALLEST = 0.1
"""Smallest spread of shifts, in standard errors; below it a shift cannot be told from none."""
N_STRATA = 5
STRATUM_GENES = 150
"""Genes that a stratum of like error holds, at least."""
N_RELATIVES = 300
"""Other perturbations that are searched for what they have in common, at most."""


def scale_grid(z: Profile) -> Float[np.ndarray, " scales"]:
    """Return the spreads of the mixture, in standard errors: 0, then steps up to the largest z."""
    top = max(2.0 * float(np.abs(z).max(initial=0.0)), SMALLEST)
    n = int(np.ceil(np.log(top / SMALLEST) / np.log(GRID_STEP))) + 1
    return np.concatenate([[0.0], SMALLEST * GRID_STEP ** np.arange(n)])


def fit_mixture(
    z: Profile, scales: Float[np.ndarray, " scales"]
) -> tuple[Float[np.ndarray, " scales"], Float[np.ndarray, "genes scales"]]:
    """Return the weights of the mixture and each gene's posterior over its components.

    EM runs over bins of abs z, as many genes as they hold, and costs the same for any panel.
    """
    order = np.argsort(np.abs(z), kind="stable")
    bins = [part for part in np.array_split(order, N_BINS) if len(part)]
    middle = np.array([np.abs(z[part]).mean() for part in bins])
    size = np.array([len(part) for part in bins], dtype=np.float64)
    density = _density(middle, scales)
    weight = np.full(len(scales), 1.0 / len(scales))
    share = size / size.sum()
    for _ in range(N_ITERATIONS):
        weight = weight * ((share / (density @ weight)) @ density)
    found = _density(z, scales) * weight
    return weight, found / found.sum(axis=1, keepdims=True)


def _density(z: Profile, scales: Float[np.ndarray, " scales"]) -> Float[np.ndarray, "genes scales"]:
    variance = 1.0 + scales**2
    density: Float[np.ndarray, "genes scales"] = np.exp(-0.5 * z[:, None] ** 2 / variance)
    return np.maximum(density / np.sqrt(variance), 1e-300)


def draw_truths(
    moments: Moments,
    row: int,
    n_draws: int,
    rng: np.random.Generator,
    *,
    with_relatives: bool = False,
) -> Float[np.ndarray, "draws genes"]:
    """Return draws of the noise-free profile of one test group.

    Genes without spread are known exactly. The centre is the mean of the context's other
    perturbations, or of its scored controls where there are none. ``with_relatives`` keeps what
    these perturbations have in common, for metrics that compare them.
    """
    t, others = moments.mean[row], _others(moments, row)
    error = np.sqrt(_variance(moments, row) / moments.n[row])
    draws = np.tile(t, (n_draws, 1))
    noisy = np.flatnonzero(error > 0)
    if not len(noisy):
        return draws
    error, centre = error[noisy], _centre(moments, row, others)[noisy]
    relatives = others if with_relatives else []
    axes = _common_axes(moments.mean[relatives][:, noisy] / error)
    z = (t[noisy] - centre) / error
    along = axes @ z
    drawn = _draw_shifts(z - along @ axes, error, n_draws, rng)
    drawn -= (drawn @ axes.T) @ axes
    drawn += (along + rng.standard_normal((n_draws, len(axes)))) @ axes
    draws[:, noisy] = centre + drawn * error
    return draws


def _draw_shifts(
    z: Profile, error: Profile, n_draws: int, rng: np.random.Generator
) -> Float[np.ndarray, "draws genes"]:
    """Draw shifts from their posterior, in standard errors; ``error`` only sorts into strata."""
    scales = scale_grid(z)
    posterior = np.empty((len(z), len(scales)))
    n_strata = max(1, min(N_STRATA, len(z) // STRATUM_GENES))
    for stratum in np.array_split(np.argsort(error, kind="stable"), n_strata):
        posterior[stratum] = fit_mixture(z[stratum], scales)[1]
    edges = posterior.cumsum(axis=1)
    uniform = rng.random((n_draws, len(z), 1)) * edges[:, -1:]
    component = (uniform > edges).sum(axis=2).clip(max=len(scales) - 1)
    shrink = scales[component] ** 2 / (1.0 + scales[component] ** 2)
    noise = np.sqrt(shrink) * rng.standard_normal((n_draws, len(z)))
    drawn: Float[np.ndarray, "draws genes"] = shrink * z + noise
    return drawn


def _common_axes(means: Float[np.ndarray, "others genes"]) -> Float[np.ndarray, "axes genes"]:
    """Return orthonormal axes along which means, in standard errors, differ by more than noise.

    Noise alone has no singular value above sqrt(others) + sqrt(genes) (Marchenko and Pastur 1967).
    """
    step = -(-len(means) // N_RELATIVES) or 1
    shifts = means[::step]
    if len(shifts) < 2:
        return np.empty((0, means.shape[1]))
    shifts = shifts - shifts.mean(axis=0)
    values, vectors = np.linalg.eigh(shifts @ shifts.T)
    edge = np.sqrt(shifts.shape).sum() ** 2
    axes: Float[np.ndarray, "axes genes"] = vectors[:, values > edge].T @ shifts
    axes /= np.linalg.norm(axes, axis=1, keepdims=True)
    return axes


def _others(moments: Moments, row: int) -> list[int]:
    """Return the groups of the context's other perturbations."""
    context = str(moments.context[row])
    rows = moments.rows("train", context) + moments.rows("test", context)
    return [r for r in rows if moments.perturbation[r] != moments.perturbation[row]]


def _centre(moments: Moments, row: int, others: list[int]) -> Profile:
    if not others:
        return moments.control("control_truth", str(moments.context[row]))
    n = moments.n[others][:, None]
    centre: Profile = (n * moments.mean[others]).sum(axis=0) / n.sum()
    return centre


def _variance(moments: Moments, row: int) -> Profile:
    """Return a group's variance, halfway to that of all perturbed cells of its context.

    Weights look for genes whose sample variance is small, so at those it is too small: the group's
    own estimate alone makes the ceiling too good.
    """
    context = str(moments.context[row])
    rows = moments.rows("train", context) + moments.rows("test", context)
    df = np.maximum(moments.n[rows] - 1, 0)[:, None]
    pooled = (df * np.nan_to_num(moments.variance[rows])).sum(axis=0) / max(df.sum(), 1)
    halfway: Profile = (pooled + np.nan_to_num(moments.variance[row])) / 2
    return halfway
