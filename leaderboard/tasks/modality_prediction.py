"""Can a model tell the surface proteins of a cell from its RNA?"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from leaderboard.errors import PredictionError
from leaderboard.spec import (
    Answer,
    Board,
    Case,
    Evidence,
    ModalityPredictor,
    ModalityUnit,
    Observation,
    RunContext,
    Task,
)
from leaderboard.tasks._ids import opaque_ids
from leaderboard.tasks._modality import Proteins, freeze, labels_of, proteins_of
from leaderboard.tasks._shown import shown_obs
from leaderboard.tasks._tables import FAILURES, bare, check_keys

if TYPE_CHECKING:
    from anndata import AnnData

TRUE, EXPECTED = "true:", "mean:"
"""Columns of ``groups``: a protein as measured, and without noise where a simulator knows it."""

MIN_POINTS = 3
"""Cells that a correlation needs, as in the metrics."""


def _cutter(adata: "AnnData", roles: pd.DataFrame, board: Board) -> Callable[[int, str], Case]:
    proteins = proteins_of(adata, board)

    def cut(fold: int, key: str) -> Case:
        return _cut(adata, roles[roles["fold"] == fold], board, proteins, key)

    return cut


def _cut(adata: "AnnData", roles: pd.DataFrame, board: Board, proteins: Proteins, key: str) -> Case:
    """Hide ids, order, groups, labels and proteins of the test cells."""
    role_of = roles.set_index("cell_id")["role"]
    ids = opaque_ids(role_of.index, key)
    rows = adata.obs_names.get_indexer(ids.index)
    real, role = adata.obs.iloc[rows], role_of[ids.index].to_numpy(dtype=str)
    is_test = role == "test"
    inputs = bare(adata.X[rows], shown_obs(real, ids.to_numpy(), role), adata.var_names)
    shown = proteins.measured[rows]
    shown[is_test] = np.nan
    inputs.obsm["protein"] = shown
    inputs.uns["protein_names"] = np.array(proteins.names)
    inputs.uns["protein_unit"] = board.protein_unit
    truth = pd.DataFrame(
        {
            "cell_id": ids.to_numpy()[is_test],
            "real_cell_id": ids.index[is_test],
            "role": "test",
            "unit": real[board.unit].astype(str).to_numpy()[is_test],
            "label": labels_of(real)[is_test],
        }
    )
    return Case(inputs=inputs, truth=truth, groups=_hidden(proteins, rows[is_test], truth))


def _hidden(proteins: Proteins, rows: np.ndarray, truth: pd.DataFrame) -> pd.DataFrame:
    """Return ``cell_id`` and the proteins of the test cells, in the order of ``truth``."""
    known = {TRUE: proteins.measured, EXPECTED: proteins.expected}
    tables = [
        pd.DataFrame(values[rows], columns=[f"{prefix}{name}" for name in proteins.names])
        for prefix, values in known.items()
        if values is not None
    ]
    return pd.concat([truth[["cell_id"]], *tables], axis=1)


def _ask(
    adapter: ModalityPredictor, inputs: "AnnData", _queries: pd.DataFrame | None, run: RunContext
) -> Answer:
    """Have the proteins of every test cell predicted."""
    is_test = (inputs.obs["role"] == "test").to_numpy()
    keys = pd.DataFrame({"cell_id": inputs.obs_names[is_test]})
    names = list(map(str, inputs.uns["protein_names"]))
    table = adapter.predict_proteins(inputs, run)
    _check_prediction(table, keys, names)
    return Answer(table=table)


def _check_prediction(prediction: pd.DataFrame, keys: pd.DataFrame, names: Sequence[str]) -> None:
    check_keys(prediction, keys[["cell_id"]])
    given = [c for c in prediction.columns if c != "cell_id"]
    if sorted(map(str, given)) != sorted(names):
        lacking, added = sorted(set(names) - set(given)), sorted(set(map(str, given)) - set(names))
        raise PredictionError(
            f"expected the {len(names)} proteins of the board once each, missing {lacking[:5]}, "
            f"not on it {added[:5]}"
        )
    text = [name for name, dtype in prediction[given].dtypes.items() if dtype.kind not in "iuf"]
    if text:
        raise PredictionError(f"{len(text)} protein column(s) hold no numbers, first {text[0]}")
    with np.errstate(over="ignore"):
        values = prediction[given].to_numpy(dtype=np.float64).astype(np.float32)
    bad = ~np.isfinite(values).all(axis=1)
    if bad.any():
        raise PredictionError(
            f"{bad.sum()} row(s) hold NaN or infinity, first cell "
            f"{prediction['cell_id'].to_numpy()[bad][0]}; predict every protein as float32"
        )


def _units(
    evidence: Sequence[Evidence], names: Sequence[str]
) -> Iterator[tuple[str, Evidence, ModalityUnit]]:
    """Yield the cells of every unit in every fold, with the evidence of the fold.

    Folds stay apart: over cells of several, a training mean that differs from fold to fold would
    vary although it knows no cell.
    """
    for item in evidence:
        if item.groups is None:
            raise ValueError("the truth of a modality board has a table of proteins")
        cells = item.truth["cell_id"]
        true = item.groups.set_index("cell_id").loc[cells, [f"{TRUE}{name}" for name in names]]
        said = item.prediction.set_index("cell_id").loc[cells, list(names)]
        label = item.truth["label"].to_numpy(dtype=str)
        for unit, members in item.truth.groupby("unit", sort=True).indices.items():
            yield (
                str(unit),
                item,
                ModalityUnit(
                    predicted=said.to_numpy(dtype=np.float64)[members],
                    truth=true.to_numpy(dtype=np.float64)[members],
                    label=label[members],
                ),
            )


def _observe(
    evidence: Sequence[Evidence], _board: Board, constants: Mapping[str, Any]
) -> list[Observation]:
    """Return every unit; one that is spread over folds has a part in each (fold -1)."""
    found: dict[str, list[tuple[Evidence, ModalityUnit]]] = {}
    for unit, item, part in _units(evidence, constants["proteins"]):
        found.setdefault(unit, []).append((item, part))
    return [
        Observation(
            fold=parts[0][0].fold if len(parts) == 1 else -1,
            seed=parts[0][0].seed,
            unit=unit,
            n=sum(len(part.truth) for _, part in parts),
            parts=tuple(part for _, part in parts),
        )
        for unit, parts in sorted(found.items())
    ]


def _failures(
    evidence: Sequence[Evidence], _board: Board, constants: Mapping[str, Any]
) -> pd.DataFrame:
    """Return the correlation of every protein and the error of every cell type, worst first."""
    rows = [
        (item.fold, item.seed, *row)
        for unit, item, part in _units(evidence, constants["proteins"])
        for row in (*_of_proteins(unit, part, constants["proteins"]), *_of_types(unit, part))
    ]
    return pd.DataFrame(rows, columns=FAILURES)


def _of_proteins(unit: str, part: ModalityUnit, names: Sequence[str]) -> Iterator[tuple[Any, ...]]:
    """Yield the proteins whose truth varies; a constant prediction is 0, as in the metric."""
    n, found = len(part.truth), []
    for name, said, true in zip(names, part.predicted.T, part.truth.T, strict=True):
        if n >= MIN_POINTS and np.ptp(true) > 0:
            found.append((np.corrcoef(said, true)[0, 1] if np.ptp(said) > 0 else 0.0, name))
    for position, (value, name) in enumerate(sorted(found)):
        yield "protein", unit, name, position, "pearson", value, n


def _of_types(unit: str, part: ModalityUnit) -> Iterator[tuple[Any, ...]]:
    found = []
    for name in np.unique(part.label[part.label != ""]):
        cells = part.label == name
        error = np.sqrt(np.mean((part.predicted[cells] - part.truth[cells]) ** 2))
        found.append((-float(error), str(name), int(cells.sum())))
    for position, (error, name, n) in enumerate(sorted(found)):
        yield "type_error", unit, name, position, "rmse", -error, n


TASK = Task(
    name="modality_prediction",
    label="Modality prediction",
    question="Can a model tell the surface proteins of cells of unseen donors from their RNA?",
    capability=ModalityPredictor,
    ask=_ask,
    cutter=_cutter,
    share=lambda _groups, _moments: None,
    check_prediction=_check_prediction,
    observe=_observe,
    failures=_failures,
    freeze=freeze,
    ranked_order=("pearson_per_protein",),
    declared_baselines=("mean-protein", "ridge-protein", "type-mean-protein"),
)
