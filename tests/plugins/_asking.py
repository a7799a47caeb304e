"""How a model is asked, on the tiny cases of tests/conftest.py."""

import importlib.util
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest

from leaderboard.models import MODELS
from leaderboard.predict import shown_to
from leaderboard.spec import (
    Annotator,
    Case,
    EdgeScorer,
    GeneEmbedder,
    Integrator,
    ModalityPredictor,
    Model,
    PerturbPredictor,
    RunContext,
)
from leaderboard.tasks import TASKS

if TYPE_CHECKING:
    from anndata import AnnData

CAPABILITY = {
    "batch_integration": (Integrator, "embed"),
    "cell_type_annotation": (Annotator, "annotate"),
    "gene_network": (EdgeScorer, "score_edges"),
    "gene_property": (GeneEmbedder, "embed_genes"),
    "perturbation_prediction": (PerturbPredictor, "predict"),
    "modality_prediction": (ModalityPredictor, "predict_proteins"),
}
KEYS = {
    "batch_integration": ["cell_id"],
    "cell_type_annotation": ["cell_id"],
    "gene_network": ["regulator", "target"],
    "gene_property": ["gene"],
    "perturbation_prediction": ["perturbation", "context", "statistic"],
    "modality_prediction": ["cell_id"],
}
"""The columns that name a row of a prediction."""
SIZES: dict[str, dict[str, Any]] = {
    "logistic_regression": {"n_dims": 8},
    "nearest_centroid": {"n_dims": 8},
    "knn": {"n_dims": 8},
    "ridge_protein": {"n_dims": 8},
    "knn_protein": {"n_dims": 8},
    "type_mean_protein": {"n_dims": 8},
    "torch_mlp": {"epochs": 3, "hidden": 8},
    "gears": {"epochs": 2, "hidden": 8},
    "gears_coexpression": {"epochs": 2, "hidden": 8},
    "gears_published": {"epochs": 2, "hidden": 8},
    "geneformer_scratch": {
        "epochs": 1,
        "layers": 2,
        "dims": 8,
        "hidden": 8,
        "heads": 2,
        "max_tokens": 16,
    },
    "scgpt_scratch": {
        "epochs": 1,
        "layers": 2,
        "dims": 8,
        "hidden": 8,
        "heads": 2,
        "max_tokens": 16,
    },
    "gene_coexpression": {"n_genes": 40, "n_dims": 4},
    "grn_trees": {"n_trees": 3, "n_cells": 150, "n_targets": 30},
    "scvi": {"n_genes": 40, "n_latent": 4, "epochs": 2},
    "scanvi": {"n_genes": 40, "n_latent": 4, "epochs": 2, "label_epochs": 2},
    "scvi_latent": {"n_genes": 40, "n_latent": 4, "epochs": 2},
    "scanvi_latent": {"n_genes": 40, "n_latent": 4, "epochs": 2, "label_epochs": 2},
}
"""Parameters that suit 40 genes; what is not named runs with its defaults."""
EXTRA = {
    "scvi": "scvi",
    "scanvi": "scvi",
    "harmony": "harmonypy",
    "scvi_latent": "scvi",
    "scanvi_latent": "scvi",
}
"""The package of an optional extra that a model cannot run without."""
REFUSED = "nan_filler"
"""The adversary whose every answer the checks of a task must refuse."""
RESOURCES: dict[str, Path] = {}
"""Folder of the tiny stand-in for every resource; filled by tests/plugins/conftest.py."""
Cases = dict[str, tuple[Case, Path]]


def pairs(*, but: str = "", **wanted: bool) -> pytest.MarkDecorator:
    """Run a test on every (model, task) whose flags are as wanted."""
    chosen = [
        pytest.param(m, task, id=f"{m.name}-{task}", marks=skipped(m))
        for m in MODELS.values()
        for task in m.tasks
        if m.name != but and all(getattr(m, flag) == value for flag, value in wanted.items())
    ]
    return pytest.mark.parametrize(("model", "task"), chosen)


def skipped(model: Model) -> list[pytest.MarkDecorator]:
    """Skip a model whose extra is not installed."""
    package = EXTRA.get(model.name)
    lacks = package is not None and importlib.util.find_spec(package) is None
    return [pytest.mark.skipif(lacks, reason=f"the extra {package} is not installed")]


def no_log(name: str, value: float, step: int) -> None:
    """Take a point of a curve, which must be a number, and drop it."""
    assert name
    assert math.isfinite(value)
    assert step >= 0


def run_of(model: Model, truth: Path | None, seed: int = 0) -> RunContext:
    """Only models that see the truth are given it, and each the outside tables it declares."""
    lacking = set(model.resources) - set(RESOURCES)
    assert not lacking, f"add a tiny {lacking} to tests/plugins/conftest.py"
    return RunContext(
        seed=seed,
        threads=1,
        max_epochs=3,
        log=no_log,
        truth_path=truth if model.sees_truth else None,
        resources={name: RESOURCES[name] for name in model.resources},
    )


def adapter_of(model: Model) -> Any:
    """Load a model at a size that suits the tiny cases."""
    return model.load(**SIZES.get(model.name, {}))


def ask(
    model: Model, task: str, cases: Cases, *, seed: int = 0, inputs: "AnnData | None" = None
) -> pd.DataFrame:
    """Let a model answer a task's case."""
    assert task in cases, f"add a tiny case of {task} to tests/plugins/conftest.py"
    case, truth = cases[task]
    inputs = case.inputs.copy() if inputs is None else inputs
    inputs = shown_to(inputs, model, TASKS[task])
    asked = [inputs] if case.queries is None else [inputs, case.queries.copy()]
    answer = getattr(adapter_of(model), CAPABILITY[task][1])
    table: pd.DataFrame = answer(*asked, run_of(model, truth, seed))
    return table


def asked_of(task: str, case: Case) -> tuple[pd.DataFrame, list[str]]:
    """Return the keys that a prediction must answer and the names that it may use."""
    if task == "cell_type_annotation":
        labels = case.inputs.obs["cell_type"].dropna().astype(str)
        return case.truth[["cell_id"]], sorted(labels.unique())
    if task == "modality_prediction":
        return case.truth[["cell_id"]], list(map(str, case.inputs.uns["protein_names"]))
    if task == "batch_integration":
        return case.truth[["cell_id"]], []
    assert case.queries is not None, f"say here what {task} asks for"
    return case.queries, list(map(str, case.inputs.var_names))


def numbers_and_text(table: pd.DataFrame, keys: list[str]) -> tuple[pd.DataFrame, np.ndarray]:
    """Sort by key and take a prediction apart into text and numbers."""
    table = table.sort_values(keys).reset_index(drop=True)
    is_number = [dtype.kind == "f" for dtype in table.dtypes]
    text = table.loc[:, [not n for n in is_number]]
    return text, table.loc[:, is_number].to_numpy(dtype=np.float64)


def dense_profiles(inputs: "AnnData") -> pd.DataFrame:
    """Return log-normalised cells with their keys, the plain way."""
    counts = inputs.X.toarray().astype(np.float64)
    values = np.log1p(counts / counts.sum(axis=1, keepdims=True) * inputs.uns["target_sum"])
    table = pd.DataFrame(values, columns=list(inputs.var_names))
    for column in ("role", "perturbation", "context"):
        table[column] = inputs.obs[column].to_numpy(dtype=str)
    return table
