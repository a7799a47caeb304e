"""What scVI and scANVI share: training cells in, an encoder for any cell out."""

import logging
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from jaxtyping import Int

from leaderboard.errors import ConfigError
from leaderboard.models._hvg_pca import variable_genes
from leaderboard.models._inputs import fitted, log_counts, role_is
from leaderboard.spec import RunContext

if TYPE_CHECKING:
    from anndata import AnnData

BATCH, LABEL = "scvi_batch", "scvi_label"
UNLABELLED = "(no label)"
TENTH = 10


@dataclass(frozen=True, kw_only=True)
class Size:
    """How large a model is and how long it trains."""

    n_genes: int = 2000
    n_latent: int = 30
    n_layers: int = 2
    epochs: int = 200
    patience: int = 15


def load_scvi() -> Any:
    """Return the package scvi; without it, one line says how to have it."""
    try:
        return import_module("scvi")
    except ImportError as error:
        raise ConfigError(
            f"scVI and scANVI need scvi-tools 1.4.2, which is not here ({error}); "
            "pip install 'heldout[scvi]'."
        ) from error


def genes_of(inputs: "AnnData", n_genes: int) -> Int[np.ndarray, " genes"]:
    """Return the columns of the most variable genes of the fitted cells."""
    if n_genes >= inputs.n_vars:
        return np.arange(inputs.n_vars)
    return variable_genes(log_counts(inputs)[fitted(inputs)], n_genes)


def cells_for_scvi(inputs: "AnnData", chosen: np.ndarray, genes: np.ndarray) -> "AnnData":
    """Return counts of chosen cells in the order of their ids, with a batch and a label each.

    Nobody knows the batch of a test cell. The encoder does not look at it (``encode_covariates`` is
    off), so test cells carry the first batch of training merely to satisfy the registry.
    """
    import anndata

    order = np.flatnonzero(chosen)[np.argsort(inputs.obs_names[chosen].to_numpy(dtype=str))]
    shown = inputs.obs[fitted(inputs)]
    batches = sorted(shown["batch"].astype(str).unique()) if "batch" in shown else ["all"]
    batch = np.full(len(order), batches[0], dtype=object)
    label = np.full(len(order), UNLABELLED, dtype=object)
    is_shown = fitted(inputs)[order]
    if "cell_type" in inputs.obs:
        label[is_shown] = inputs.obs["cell_type"].astype(str).to_numpy()[order][is_shown]
    if "batch" in shown:
        batch[is_shown] = inputs.obs["batch"].astype(str).to_numpy()[order][is_shown]
    obs = pd.DataFrame({BATCH: batch, LABEL: label}, index=inputs.obs_names[order])
    return anndata.AnnData(inputs.X[order][:, genes].copy(), obs=obs)


def fit_scvi(scvi: Any, inputs: "AnnData", cells: "AnnData", size: Size, run: RunContext) -> Any:
    """Return an scVI model trained on training cells, stopped early by validation cells."""
    settle(scvi, run)
    scvi.model.SCVI.setup_anndata(cells, batch_key=BATCH)
    model = scvi.model.SCVI(
        cells, n_latent=size.n_latent, n_layers=size.n_layers, encode_covariates=False
    )
    train(model, inputs, cells, min(size.epochs, run.max_epochs or size.epochs), size.patience)
    log_history(model, run, "elbo_train", "elbo_validation")
    return model


def settle(scvi: Any, run: RunContext) -> None:
    """Fix seed and threads, and keep the package quiet."""
    import torch

    for name in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.ERROR)
    scvi.settings.verbosity = logging.ERROR
    scvi.settings.seed = run.seed
    torch.set_num_threads(run.threads)


def train(model: Any, inputs: "AnnData", cells: "AnnData", epochs: int, patience: int) -> None:
    """Train on the cells of role train; those of role validation only decide when to stop.

    Where nothing is held out, every tenth cell in the order of ids decides.
    """
    role = dict(zip(inputs.obs_names, role_is(inputs, "validation"), strict=True))
    is_validation = np.array([role[name] for name in cells.obs_names])
    if not is_validation.any():
        is_validation = np.arange(len(is_validation)) % TENTH == 0
    parts = [np.flatnonzero(~is_validation), np.flatnonzero(is_validation)]
    model.train(
        max_epochs=epochs,
        early_stopping=True,
        early_stopping_patience=patience,
        check_val_every_n_epoch=1,
        datasplitter_kwargs={"external_indexing": parts},
        enable_progress_bar=False,
        enable_model_summary=False,
    )


def log_history(model: Any, run: RunContext, *curves: str) -> None:
    """Report curves of the last training, one point an epoch."""
    for curve in curves:
        for epoch, value in enumerate(model.history[curve].to_numpy(dtype=float).ravel()):
            if np.isfinite(value):
                run.log(curve, float(value), epoch)


def encoded(model: Any, inputs: "AnnData", genes: np.ndarray) -> np.ndarray:
    """Return the latent mean of every cell, cells x dims, in the order of ``inputs``."""
    cells = cells_for_scvi(inputs, np.ones(inputs.n_obs, dtype=bool), genes)
    latent = pd.DataFrame(model.get_latent_representation(cells), index=cells.obs_names)
    values: np.ndarray = latent.loc[inputs.obs_names].to_numpy(dtype=np.float64)
    return values
