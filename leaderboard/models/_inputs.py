"""What the simple models take from a case's inputs."""

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from leaderboard.profiles import Counts, group_moments, log_normalise, size_factors

if TYPE_CHECKING:
    from anndata import AnnData

FIT_ROLES = ("train", "validation")
"""Simple baselines fit on training and validation cells together."""


def role_is(inputs: "AnnData", *roles: str) -> np.ndarray:
    """Return which cells have one of some roles."""
    return np.isin(inputs.obs["role"].to_numpy(dtype=str), roles)


def fitted(inputs: "AnnData") -> np.ndarray:
    """Return which cells a simple baseline fits on: all of them where nothing is held out."""
    chosen = role_is(inputs, *FIT_ROLES)
    return chosen if chosen.any() else np.ones(inputs.n_obs, dtype=bool)


def test_cells(inputs: "AnnData") -> np.ndarray:
    """Return which cells are to be labelled."""
    return role_is(inputs, "test")


def log_counts(inputs: "AnnData", target_sum: float | None = None) -> Counts:
    """Return log1p of counts scaled to a target sum; the median total of fitted cells if None."""
    if "target_sum" in inputs.uns:
        factor = inputs.obs["size_factor"].to_numpy(dtype=np.float64)
        return log_normalise(inputs.X, factor, float(inputs.uns["target_sum"]))
    kind = "total" if "total_counts_all_genes" in inputs.obs else "panel"
    factor = size_factors(inputs.X, inputs.obs, kind)
    if target_sum is None:
        target_sum = float(np.median(factor[fitted(inputs)]))
    return log_normalise(inputs.X, factor, target_sum)


def labels(inputs: "AnnData") -> np.ndarray:
    """Return the labels of the fitted cells."""
    names: np.ndarray = inputs.obs.loc[fitted(inputs), "cell_type"].to_numpy(dtype=str)
    return names


def annotation(inputs: "AnnData", predicted: Any, probabilities: Any = None) -> pd.DataFrame:
    """Return a prediction table: labels of the test cells and (labels, cells x labels) or None."""
    cells = inputs.obs_names[test_cells(inputs)].astype(str)
    table = pd.DataFrame({"cell_id": cells, "label": np.asarray(predicted, dtype=str)})
    if probabilities is None:
        return table
    names, values = probabilities
    given = pd.DataFrame(np.asarray(values, dtype=np.float32), columns=[f"p:{n}" for n in names])
    return pd.concat([table, given], axis=1)


def embedding_table(inputs: "AnnData", values: np.ndarray) -> pd.DataFrame:
    """Return ``cell_id d0 d1 ...`` from cells x dims in the order of ``inputs``."""
    dims = [f"d{k}" for k in range(values.shape[1])]
    table = pd.DataFrame(np.asarray(values, dtype=np.float32), columns=dims)
    table.insert(0, "cell_id", inputs.obs_names.astype(str).to_numpy())
    return table


def training_profiles(inputs: "AnnData") -> pd.DataFrame:
    """Return the mean profile of every training (perturbation, context), index in that order."""
    is_fitted = fitted(inputs)
    return _means(inputs, is_fitted, ["perturbation", "context"])


def control_profiles(inputs: "AnnData") -> pd.DataFrame:
    """Return the mean profile of the input control cells of every context."""
    is_control = np.asarray(inputs.obs["role"].astype(str) == "control_input")
    return _means(inputs, is_control, ["context"])


def training_shifts(inputs: "AnnData") -> pd.DataFrame:
    """Return every training profile minus the control mean of its context."""
    profiles = training_profiles(inputs)
    controls = control_profiles(inputs).loc[profiles.index.get_level_values("context")]
    return profiles - controls.to_numpy()


def _means(inputs: "AnnData", chosen: np.ndarray, by: list[str]) -> pd.DataFrame:
    keys = inputs.obs.loc[chosen, by].astype(str)
    names = keys.drop_duplicates().sort_values(by).reset_index(drop=True)
    number = keys.merge(names.reset_index(names="number"), how="left", on=by)["number"]
    values = log_counts(inputs)[chosen]
    _, mean, _ = group_moments(values, number.to_numpy(), len(names))
    index = pd.MultiIndex.from_frame(names) if len(by) > 1 else pd.Index(names[by[0]])
    return pd.DataFrame(mean, index=index, columns=inputs.var_names.astype(str))


def perturbation_prediction(
    queries: pd.DataFrame, profiles: np.ndarray, genes: Any
) -> pd.DataFrame:
    """Return a prediction table of mean profiles, one row a query, in the order of ``queries``."""
    table = queries[["perturbation", "context"]].reset_index(drop=True).assign(statistic="mean")
    values = pd.DataFrame(np.asarray(profiles, dtype=np.float32), columns=list(map(str, genes)))
    return pd.concat([table, values], axis=1)
