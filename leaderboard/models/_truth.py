"""The way to the truth, for control entries that must see it."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from leaderboard.errors import LeakageError
from leaderboard.io import read_parquet
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
