"""Open the h5ad files of others: what a reader needs of them is there, or one clear error."""

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from leaderboard.errors import ReadError

if TYPE_CHECKING:
    from anndata import AnnData


def read_raw(path: Path, *, obs: Sequence[str] = (), layers: Sequence[str] = ()) -> "AnnData":
    """Read a file, and raise ReadError unless it has these columns of ``obs`` and these layers."""
    from anndata import read_h5ad

    if not path.is_file():
        raise ReadError(f"{path.name}: expected an h5ad file at {path}, got none. Fetch it first.")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of encodings that older versions of anndata wrote
            adata = read_h5ad(path)
    except (OSError, KeyError, ValueError, TypeError) as error:
        raise ReadError(
            f"{path.name}: expected an h5ad file, got what anndata cannot read "
            f"({type(error).__name__}: {error}). Likely cut short or damaged: fetch it again."
        ) from error
    for what, wanted, got in (("obs", obs, adata.obs), ("layers", layers, adata.layers)):
        lacking = [name for name in wanted if name not in got]
        if lacking:
            raise ReadError(
                f"{path.name}: expected {what} {', '.join(lacking)}, got {', '.join(got)}. "
                "Likely another file of the same name."
            )
    return adata


def as_text(values: "pd.Series[Any]") -> "np.ndarray[Any, np.dtype[np.object_]]":
    """Turn a column, categorical or not, into an array of Python strings."""
    return np.array([str(value) for value in values], dtype=object)
