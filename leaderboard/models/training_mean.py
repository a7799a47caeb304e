"""Predicts the average perturbed profile of training, whatever is asked for."""

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from leaderboard.models._inputs import (
    fitted,
    log_counts,
    perturbation_prediction,
    training_profiles,
)
from leaderboard.models._sampling import draw_cells
from leaderboard.profiles import group_moments
from leaderboard.spec import Model, RunContext

if TYPE_CHECKING:
    from anndata import AnnData


class TrainingMean:
    """Equal weight to every training perturbation of the query's context, else to all."""

    def predict(self, inputs: "AnnData", queries: pd.DataFrame, _run: RunContext) -> pd.DataFrame:
        """Return the same profile for every perturbation of a context, and how unsure it is."""
        profiles = training_profiles(inputs)
        by_context = profiles.groupby(level="context").mean()
        overall = profiles.groupby(level="perturbation").mean().mean()
        rows = [by_context.loc[c] if c in by_context.index else overall for c in queries["context"]]
        means = perturbation_prediction(queries, np.stack(rows), inputs.var_names)
        errors = stated_errors(inputs)
        known = queries[queries["context"].isin(list(errors))]
        if known.empty:
            return means
        spread = np.stack([errors[context] for context in known["context"]])
        stated = perturbation_prediction(known, spread, inputs.var_names)
        return pd.concat([means, stated.assign(statistic="mean_variance")], ignore_index=True)

    def sample(self, inputs: "AnnData", queries: pd.DataFrame, run: RunContext) -> pd.DataFrame:
        """Return perturbed training cells of the query's context, else of all."""
        context = inputs.obs["context"].to_numpy(dtype=str)
        is_training = fitted(inputs)
        pools = {c: is_training & (context == c) for c in np.unique(queries["context"])}
        pools = {c: pool if pool.any() else is_training for c, pool in pools.items()}
        return draw_cells(inputs, queries, pools, run.seed)


def stated_errors(inputs: "AnnData") -> dict[str, np.ndarray]:
    """Return, by context, the variance of a new perturbation's noise-free mean about their mean.

    With B the variance between the m training perturbations' means and S their mean sampling
    variance, it is max(B - S, 0) + B / m per gene, in squared log1p units: how perturbations
    differ, and how well their mean is known. Contexts with fewer than 2 perturbations have none.
    """
    chosen = fitted(inputs)
    keys = inputs.obs.loc[chosen, ["perturbation", "context"]].astype(str)
    groups = keys.groupby(["context", "perturbation"], sort=True)
    n, mean, variance = group_moments(
        log_counts(inputs)[chosen], groups.ngroup().to_numpy(), groups.ngroups
    )
    contexts = np.array([context for context, _ in sorted(groups.groups)])
    errors = {}
    for context in np.unique(contexts):
        rows = contexts == context
        m = int(rows.sum())
        if m < 2:
            continue
        between = mean[rows].var(axis=0, ddof=1)
        sampling = (np.nan_to_num(variance[rows]) / n[rows, None]).mean(axis=0)
        errors[str(context)] = np.maximum(between - sampling, 0.0) + between / m
    return errors


MODEL = Model(
    name="training_mean",
    label="Training mean",
    tasks=("perturbation_prediction",),
    load=TrainingMean,
)
