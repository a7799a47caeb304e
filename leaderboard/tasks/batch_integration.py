"""Can a model place cells so that batches mix and cell types stay apart?

Transductive: a model sees every cell that is scored, with its batch. Labels are shown to models
that declare ``uses_labels``, and to no other.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from leaderboard.embedding import Embedded
from leaderboard.errors import PredictionError
from leaderboard.spec import (
    WHOLE,
    Answer,
    Board,
    Case,
    Evidence,
    IntegrationUnit,
    Integrator,
    Observation,
    RunContext,
    Task,
)
from leaderboard.tasks._ids import opaque_ids
from leaderboard.tasks._integration import LABEL, failures, freeze
from leaderboard.tasks._tables import bare, check_keys

if TYPE_CHECKING:
    from anndata import AnnData

MAX_DIMS = 1023
SHOWN = ("batch", LABEL)
EVERY_CELL_COLUMNS = ("total_counts_all_genes",)


def _cutter(adata: "AnnData", roles: pd.DataFrame, board: Board) -> Callable[[int, str], Case]:
    def cut(fold: int, key: str) -> Case:
        return _cut(adata, roles[roles["fold"] == fold], board, key)

    return cut


def _cut(adata: "AnnData", roles: pd.DataFrame, board: Board, key: str) -> Case:
    """Hide ids and order; show batches and labels; leave cells without a label out."""
    chosen = roles["cell_id"].to_numpy()
    ids = opaque_ids(chosen[adata.obs.loc[chosen, LABEL].notna().to_numpy()], key)
    cells = adata[ids.index]
    obs = pd.DataFrame({"role": "test"}, index=pd.Index(ids.to_numpy(), name="cell_id"))
    for column in SHOWN:
        obs[column] = pd.Categorical(cells.obs[column].astype(str))
    for column in EVERY_CELL_COLUMNS:
        if column in cells.obs:
            obs[column] = cells.obs[column].to_numpy()
    truth = pd.DataFrame(
        {
            "cell_id": ids.to_numpy(),
            "real_cell_id": ids.index,
            "role": "test",
            "unit": cells.obs[board.unit].astype(str).to_numpy(),
            "label": cells.obs[LABEL].astype(str).to_numpy(),
        }
    )
    return Case(inputs=bare(cells.X, obs, adata.var_names), truth=truth)


def _ask(
    adapter: Integrator, inputs: "AnnData", _queries: pd.DataFrame | None, run: RunContext
) -> Answer:
    """Have every cell placed."""
    table = adapter.embed(inputs, run)
    _check_prediction(table, pd.DataFrame({"cell_id": inputs.obs_names}), ())
    return Answer(table=table)


def _dims(prediction: pd.DataFrame) -> list[str]:
    return [c for c in map(str, prediction.columns) if c != "cell_id"]


def _check_prediction(prediction: pd.DataFrame, keys: pd.DataFrame, _names: Sequence[str]) -> None:
    check_keys(prediction, keys[["cell_id"]])
    dims = _dims(prediction)
    if not dims or sorted(dims) != sorted(f"d{k}" for k in range(len(dims))):
        raise PredictionError(
            f"expected the columns cell_id, d0, d1, ... without a gap, got {dims[:8]}"
        )
    if len(dims) > MAX_DIMS:
        raise PredictionError(f"{len(dims)} dimensions, at most {MAX_DIMS} expected")
    text = [d for d in dims if prediction[d].dtype.kind not in "iuf"]
    if text:
        raise PredictionError(f"{len(text)} dimension(s) hold no numbers, first {text[0]}")
    values = prediction[dims].to_numpy(dtype=np.float64)
    bad = ~(np.abs(values) <= np.finfo(np.float32).max).all(axis=1)
    if bad.any():
        first = prediction["cell_id"].to_numpy()[bad][0]
        raise PredictionError(
            f"{bad.sum()} cell(s) have a coordinate that is not finite in float32, first {first}"
        )


def _embedded(item: Evidence, constants: Mapping[str, Any]) -> Embedded:
    """Return the record that all units share."""
    cells = item.truth.merge(item.prediction, on="cell_id", validate="one_to_one")
    return Embedded.of(cells, constants)


def _observe(
    evidence: Sequence[Evidence], _board: Board, constants: Mapping[str, Any]
) -> list[Observation]:
    """Return one unit a batch, and one of all cells for the metrics that have no smaller one."""
    return [found for item in evidence for found in _units(item, constants)]


def _units(item: Evidence, constants: Mapping[str, Any]) -> list[Observation]:
    cells = _embedded(item, constants)
    masks = {str(batch): cells.batch == batch for batch in np.unique(cells.batch)}
    parts = [(name, own, False) for name, own in masks.items()]
    parts.append((WHOLE, np.ones(len(cells.label), dtype=bool), True))
    return [
        Observation(
            fold=item.fold, seed=item.seed, unit=name, n=int(own.sum()), is_whole=is_whole,
            parts=(IntegrationUnit(cells=cells, own=own),),
        )
        for name, own, is_whole in parts
    ]  # fmt: skip


def _failures(
    evidence: Sequence[Evidence], _board: Board, constants: Mapping[str, Any]
) -> pd.DataFrame:
    return pd.concat(
        [failures(_embedded(item, constants), item.fold, item.seed) for item in evidence],
        ignore_index=True,
    )


TASK = Task(
    name="batch_integration",
    label="Batch integration",
    question="Can a model place cells so that batches mix and cell types stay apart?",
    capability=Integrator,
    ask=_ask,
    cutter=_cutter,
    share=lambda _groups, _moments: None,
    check_prediction=_check_prediction,
    observe=_observe,
    failures=_failures,
    freeze=freeze,
    ranked_order=("cilisi", "isolated_label_f1"),
    declared_baselines=("hvg-pca", "combat"),
    shows_adversaries=True,
    hides_labels=(LABEL,),
)
