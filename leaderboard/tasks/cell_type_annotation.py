"""Can a model name the cell types of donors, batches, ... that it has not seen?"""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from leaderboard.errors import PredictionError
from leaderboard.spec import (
    AnnotationUnit,
    Annotator,
    Answer,
    Board,
    Case,
    Evidence,
    Observation,
    RunContext,
    Task,
)
from leaderboard.tasks._annotation import FIT_ROLES, LABEL, PROBABILITY, failures, freeze
from leaderboard.tasks._ids import opaque_ids
from leaderboard.tasks._shown import shown_obs
from leaderboard.tasks._tables import bare, check_keys

if TYPE_CHECKING:
    from anndata import AnnData


def _cutter(adata: "AnnData", roles: pd.DataFrame, board: Board) -> Callable[[int, str], Case]:
    def cut(fold: int, key: str) -> Case:
        return _cut(adata, roles[roles["fold"] == fold], board, key)

    return cut


def _cut(adata: "AnnData", roles: pd.DataFrame, board: Board, key: str) -> Case:
    """Hide ids, order, groups and labels of the test cells; leave unlabelled cells out."""
    role = roles.set_index("cell_id")["role"]
    role = role[adata.obs.loc[role.index, LABEL].notna().to_numpy()]
    ids = opaque_ids(role.index, key)
    chosen = adata[ids.index]
    real = chosen.obs
    obs = shown_obs(real, ids.to_numpy(), role[ids.index].to_numpy(dtype=str))
    is_test = (obs["role"] == "test").to_numpy()
    label = real[LABEL].astype(str).to_numpy()
    truth = pd.DataFrame(
        {
            "cell_id": ids.to_numpy()[is_test],
            "real_cell_id": ids.index[is_test],
            "role": "test",
            "unit": real[board.unit].astype(str).to_numpy()[is_test],
            "label": label[is_test],
            "seen": np.isin(label[is_test], label[obs["role"].isin(FIT_ROLES)]),
        }
    )
    return Case(inputs=bare(chosen.X, obs, adata.var_names), truth=truth)


def _ask(
    adapter: Annotator, inputs: "AnnData", _queries: pd.DataFrame | None, run: RunContext
) -> Answer:
    """Have every test cell labelled."""
    table = adapter.annotate(inputs, run)
    shown = inputs.obs[LABEL].dropna().astype(str)
    is_test = (inputs.obs["role"] == "test").to_numpy()
    keys = pd.DataFrame({"cell_id": inputs.obs_names[is_test]})
    _check_prediction(table, keys, sorted(shown.unique()))
    return Answer(table=table)


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

    A unit that is spread over folds has its cells pooled (fold -1). Folds may have trained on
    different labels: a label that a fold gave no column gets probability 0 there. A unit has
    probabilities for all of its cells or for none.
    """
    cells = pd.concat([_answered(item) for item in evidence], ignore_index=True)
    units = []
    for unit, members in cells.groupby("unit", sort=True):
        folds = members["fold"].unique()
        fold = int(folds[0]) if len(folds) == 1 else -1
        units.append((str(unit), fold, evidence[0].seed, _complete(members)))
    return units


def _complete(cells: pd.DataFrame) -> pd.DataFrame:
    """Fill the probabilities that a fold has no column for, or drop them if a cell has none."""
    columns = [c for c in cells if str(c).startswith(PROBABILITY)]
    given = cells[columns].notna()
    if not given.any(axis=1).all():
        return cells.drop(columns=columns)
    known = given.any(axis=0)
    return cells.drop(columns=known.index[~known]).fillna(dict.fromkeys(columns, 0.0))


def _answered(item: Evidence) -> pd.DataFrame:
    """Return the test cells of one fold with their predictions, probabilities only if complete."""
    predicted = item.prediction.rename(columns={"label": "predicted"})
    columns = [c for c in predicted if str(c).startswith(PROBABILITY)]
    if predicted[columns].isna().any(axis=None):
        predicted = predicted.drop(columns=columns)
    cells = item.truth.merge(predicted, on="cell_id", validate="one_to_one")
    return cells.assign(fold=item.fold)


def _record(cells: pd.DataFrame, unit: str, constants: Mapping[str, Any]) -> AnnotationUnit:
    columns = [str(c) for c in cells if str(c).startswith(PROBABILITY)]
    probability = None
    if columns:
        # Rows sum to 1 within a tolerance of the check; here exactly, so that bounds hold.
        values = cells[columns].to_numpy(dtype=np.float64)
        probability = values / values.sum(axis=1, keepdims=True)
    return AnnotationUnit(
        label=cells["label"].to_numpy(dtype=str),
        predicted=cells["predicted"].to_numpy(dtype=str),
        classes=tuple(constants["class_units"].get(unit, ())),
        rare=tuple(constants.get("rare", ())),
        is_unseen=~cells["seen"].to_numpy(dtype=bool) if "seen" in cells else None,
        names=tuple(c.removeprefix(PROBABILITY) for c in columns),
        probability=probability,
    )


def _observe(
    evidence: Sequence[Evidence], _board: Board, constants: Mapping[str, Any]
) -> list[Observation]:
    return [
        Observation(
            fold=fold, seed=seed, unit=unit, n=len(cells), parts=(_record(cells, unit, constants),)
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
    capability=Annotator,
    ask=_ask,
    cutter=_cutter,
    share=lambda _groups, _moments: None,
    check_prediction=_check_prediction,
    observe=_observe,
    failures=_failures,
    freeze=freeze,
    ranked_order=("macro_f1",),
    declared_baselines=("majority", "logistic-regression", "nearest-centroid"),
)
