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


def true_places(inputs: "AnnData", run: RunContext) -> Float[np.ndarray, "cells dims"]:
    """Return the noise-free mean log expression of every cell's type, and a little noise.

    In the coordinates that the types span; the noise, a hundredth of the least distance between two
    types, breaks ties between cells of one type.
    """
    from scipy.spatial.distance import pdist

    label = true_labels(inputs, run)["label"].to_numpy(dtype=str)
    means = read_parquet(truth_folder(run) / "true_state.parquet").set_index("cell_type")
    centred = means.to_numpy() - means.to_numpy().mean(axis=0)
    left, lengths, _ = np.linalg.svd(centred, full_matrices=False)
    places = pd.DataFrame(left * lengths, index=means.index).loc[label].to_numpy()
    return around(inputs, places, SPREAD * float(pdist(centred).min()))
