"""Can a model name the cell types of donors, batches, ... that it has not seen?"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from leaderboard.errors import PredictionError
from leaderboard.spec import AnnotationUnit, Board, Case, Evidence, Observation, Task
from leaderboard.tasks._annotation import LABEL, PROBABILITY, failures, freeze
from leaderboard.tasks._ids import opaque_ids
from leaderboard.tasks._tables import bare, check_keys

if TYPE_CHECKING:
    from anndata import AnnData

TRAINING_COLUMNS = (LABEL, "donor_id", "batch")
"""Shown for training and validation cells only: a test cell shows no group and no label."""
EVERY_CELL_COLUMNS = ("total_counts_all_genes",)


def _build_case(adata: "AnnData", roles: pd.DataFrame, board: Board, key: str) -> Case:
    """Hide ids, order, groups and labels of the test cells; leave unlabelled cells out."""
    role = roles.set_index("cell_id")["role"]
    role = role[adata.obs.loc[role.index, LABEL].notna().to_numpy()]
    ids = opaque_ids(role.index, key)
    chosen = adata[ids.index]
    real = chosen.obs
    obs = pd.DataFrame(
        {"role": role[ids.index].to_numpy(dtype=str)}, index=pd.Index(ids.to_numpy())
    )
    obs.index.name = "cell_id"
    is_test = (obs["role"] == "test").to_numpy()
    for column in TRAINING_COLUMNS:
        if column in real:
            obs[column] = real[column].astype(str).to_numpy(dtype=object)
            obs.loc[is_test, column] = None
            obs[column] = obs[column].astype("category")
    for column in EVERY_CELL_COLUMNS:
        if column in real:
            obs[column] = real[column].to_numpy()
    truth = pd.DataFrame(
        {
            "cell_id": ids.to_numpy()[is_test],
            "real_cell_id": ids.index[is_test],
            "role": "test",
            "unit": real[board.unit].astype(str).to_numpy()[is_test],
            "label": real[LABEL].astype(str).to_numpy()[is_test],
        }
    )
    return Case(inputs=bare(chosen.X, obs, adata.var_names), truth=truth)


def _check_prediction(prediction: pd.DataFrame, keys: pd.DataFrame, names: Sequence[str]) -> None:
    check_keys(prediction, keys[["cell_id"]])
    given = [c for c in prediction.columns if c.startswith(PROBABILITY)]
    extra = sorted(set(prediction.columns) - {"cell_id", "label", *given})
    if "label" not in prediction or extra:
        raise PredictionError(
            "expected the columns cell_id, label and optional p:<label>, got "
            f"{sorted(prediction.columns)[:8]}"
        )
    bad = prediction[[not (isinstance(v, str) and v) for v in prediction["label"]]]
    if len(bad):
        raise PredictionError(f"{len(bad)} label(s) are no text, first cell {bad.cell_id.iloc[0]}")
    if given:
        _check_probabilities(prediction, given, names)


def _check_probabilities(
    prediction: pd.DataFrame, given: Sequence[str], names: Sequence[str]
) -> None:
    lacking = sorted({f"{PROBABILITY}{name}" for name in names} - set(given))
    if lacking:
        raise PredictionError(f"probabilities for all classes or none: missing {lacking[:5]}")
    values = prediction[list(given)].to_numpy(dtype=np.float64)
    wrong = ~np.isfinite(values).all(axis=1) | (values < 0).any(axis=1)
    wrong |= np.abs(values.sum(axis=1) - 1) > 1e-4
    if wrong.any():
        first = prediction["cell_id"].to_numpy()[wrong][0]
        raise PredictionError(
            f"{wrong.sum()} row(s) of probabilities are negative, not finite or do not sum to "
            f"1 +- 1e-4, first cell {first}"
        )


def _cells_of_units(
    evidence: Sequence[Evidence],
) -> list[tuple[str, int, int, pd.DataFrame]]:
    """Return unit, fold, seed and test cells with predictions; each cell is tested once.

    A random split spreads one unit over all folds: its cells are pooled (fold -1).
    """
    parts = []
    for item in evidence:
        predicted = item.prediction.rename(columns={"label": "predicted"})
        part = item.truth.merge(predicted, on="cell_id", validate="one_to_one")
        parts.append(part.assign(fold=item.fold))
    cells = pd.concat(parts, ignore_index=True)
    units = []
    for unit, members in cells.groupby("unit", sort=True):
        folds = members["fold"].unique()
        fold = int(folds[0]) if len(folds) == 1 else -1
        units.append((str(unit), fold, evidence[0].seed, members))
    return units


def _observe(
    evidence: Sequence[Evidence], _board: Board, constants: Mapping[str, Any]
) -> list[Observation]:
    return [
        Observation(
            fold=fold,
            seed=seed,
            unit=unit,
            n=len(cells),
            parts=(
                AnnotationUnit(
                    label=cells["label"].to_numpy(dtype=str),
                    predicted=cells["predicted"].to_numpy(dtype=str),
                    classes=tuple(constants["class_units"].get(unit, ())),
                ),
            ),
        )
        for unit, fold, seed, cells in _cells_of_units(evidence)
    ]


def _failures(
    evidence: Sequence[Evidence], _board: Board, _constants: Mapping[str, Any]
) -> pd.DataFrame:
    return pd.concat(
        [failures(cells, fold, seed) for _, fold, seed, cells in _cells_of_units(evidence)],
        ignore_index=True,
    )


TASK = Task(
    name="cell_type_annotation",
    label="Cell type annotation",
    question="Can a model name the cell types of donors and samples that it has never seen?",
    build_case=_build_case,
    check_prediction=_check_prediction,
    observe=_observe,
    failures=_failures,
    freeze=freeze,
    ranked_order=("macro_f1",),
    declared_baselines=("majority", "logistic-regression", "nearest-centroid"),
)
