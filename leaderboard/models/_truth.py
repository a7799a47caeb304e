"""The way to the truth, for control entries that must see it."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from jaxtyping import Float

from leaderboard.errors import LeakageError
from leaderboard.io import read_parquet
from leaderboard.models._dealing import SPREAD, around
from leaderboard.models._inputs import test_cells
from leaderboard.models._proteins import protein_names
from leaderboard.spec import RunContext

if TYPE_CHECKING:
    from anndata import AnnData


def truth_folder(run: RunContext) -> Path:
    """Return the folder of the fold's truth; only plug-ins that declare it are given one."""
    if run.truth_path is None:
        raise LeakageError("This model reads the truth without being marked `sees_truth`.")
    return run.truth_path


def true_labels(inputs: "AnnData", run: RunContext) -> pd.DataFrame:
    """Return the truth rows of the test cells, in the order of ``inputs``."""
    truth = read_parquet(truth_folder(run) / "truth.parquet").set_index("cell_id")
    rows: pd.DataFrame = truth.loc[inputs.obs_names[test_cells(inputs)]]
    return rows


def hidden_proteins(inputs: "AnnData", run: RunContext, prefix: str) -> np.ndarray:
    """Return the proteins of the test cells: ``true:`` as measured, ``mean:`` without noise."""
    table = read_parquet(truth_folder(run) / "groups.parquet").set_index("cell_id")
    names = [f"{prefix}{name}" for name in protein_names(inputs)]
    return table.loc[inputs.obs_names[test_cells(inputs)], names].to_numpy(dtype=np.float64)


def true_property(queries: pd.DataFrame, run: RunContext) -> Float[np.ndarray, " genes"]:
    """Return whether the asked genes have the property, 1 or 0, in the order of ``queries``."""
    truth = read_parquet(truth_folder(run) / "truth.parquet").set_index("gene")
    has = truth["has_property"].reindex(queries["gene"].to_numpy())
    values: Float[np.ndarray, " genes"] = has.to_numpy(dtype=np.float64)
    return values


def true_places(inputs: "AnnData", run: RunContext) -> Float[np.ndarray, "cells dims"]:
    """Return the place of every cell's type, and a little noise that breaks ties.

    The noise-free mean log expression of the type, in the coordinates that the types span; where no
    simulator kept it, a dimension for every type.
    """
    from scipy.spatial.distance import pdist

    names, code = np.unique(
        true_labels(inputs, run)["label"].to_numpy(dtype=str), return_inverse=True
    )
    path = truth_folder(run) / "true_state.parquet"
    if not path.is_file():
        return around(inputs, np.eye(len(names))[code])
    means = read_parquet(path).set_index("cell_type").loc[names].to_numpy()
    left, lengths, _ = np.linalg.svd(means - means.mean(axis=0), full_matrices=False)
    return around(inputs, (left * lengths)[code], SPREAD * float(pdist(means).min()))
