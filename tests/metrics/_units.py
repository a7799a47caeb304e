"""Unit records of perturbation boards with the fields that a test is about."""

from typing import Any

import numpy as np

from leaderboard.spec import PerturbationUnit


def unit(**fields: Any) -> PerturbationUnit:
    """Fill what is not given: no shift anywhere, weight 1, 50 cells and controls, variance .1."""
    known = next(np.asarray(v) for k, v in fields.items() if k in {"predicted", "truth"})
    zero = np.zeros(known.shape[-1])
    usual: dict[str, Any] = {
        "predicted": zero, "truth": zero, "control_input": zero, "control_truth": zero,
        "weight": zero + 1, "other_truths": np.zeros((0, len(zero))), "reference": zero,
        "n": 50, "n_control": 50, "variance": zero + 0.1, "control_variance": zero + 0.1,
    }  # fmt: skip
    return PerturbationUnit(**(usual | fields))


def random_unit(seed: int, genes: int = 15, others: int = 6) -> PerturbationUnit:
    """Profiles, weights, variances and singles at random."""
    rng = np.random.default_rng(seed)
    names = (
        "predicted", "truth", "control_input", "control_truth", "weight", "reference", "variance",
        "control_variance", "singles", "singles_error",
    )  # fmt: skip
    fields = dict(zip(names, rng.uniform(0.1, 2.0, (len(names), genes)), strict=True))
    return unit(**fields, other_truths=rng.uniform(0.1, 2.0, (others, genes)))


def profile(*values: float) -> np.ndarray:
    return np.array(values, dtype=np.float64)
