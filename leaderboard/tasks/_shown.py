"""The columns of ``obs`` that models are shown where cells are held out."""

import numpy as np
import pandas as pd

TRAINING_COLUMNS = ("cell_type", "donor_id", "batch")
"""Shown for training and validation cells only: a test cell shows no group and no label."""
EVERY_CELL_COLUMNS = ("total_counts_all_genes",)


def shown_obs(real: pd.DataFrame, ids: np.ndarray, role: np.ndarray) -> pd.DataFrame:
    """Return ``role`` and the whitelisted columns under opaque ids, blank for test cells.

    ``real`` is the ``obs`` of the cells, in the order of ``ids`` and ``role``.
    """
    obs = pd.DataFrame({"role": role}, index=pd.Index(ids, name="cell_id"))
    is_test = role == "test"
    for column in TRAINING_COLUMNS:
        if column in real:
            obs[column] = real[column].astype(str).to_numpy(dtype=object)
            obs.loc[is_test | real[column].isna().to_numpy(), column] = None
            obs[column] = obs[column].astype("category")
    for column in EVERY_CELL_COLUMNS:
        if column in real:
            obs[column] = real[column].to_numpy()
    return obs
