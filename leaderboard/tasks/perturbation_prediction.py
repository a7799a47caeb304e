"""Can a model predict what an unseen perturbation, or one in an unseen donor, does to a cell?"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from leaderboard.errors import TableError
from leaderboard.profiles import size_factors
from leaderboard.spec import (
    CONTROL,
    WHOLE,
    Answer,
    Board,
    Case,
    CellSampler,
    Evidence,
    Observation,
    PerturbationBoard,
    PerturbationUnit,
    PerturbPredictor,
    RunContext,
    Task,
)
from leaderboard.tasks._answers import check_cells, check_prediction, predicted_profiles
from leaderboard.tasks._direction import POOLED, direction_rows
from leaderboard.tasks._gate import freeze
from leaderboard.tasks._ids import opaque_ids
from leaderboard.tasks._moments import MIN_CONTROLS, Moments, moments_of
from leaderboard.tasks._perturbation import Key, unit_parts
from leaderboard.tasks._statistics import measure
from leaderboard.tasks._tables import FAILURES, bare

if TYPE_CHECKING:
    from anndata import AnnData

COLUMNS = (
    "perturbation", "donor_id", "batch", "cell_type", "cell_line", "total_counts_all_genes",
)  # fmt: skip
INPUT_ROLES = ("train", "validation", "control_input")
N_TOP_GENES = 20
FIELDS = {"variance": "predicted_variance", "mean_variance": "predicted_error"}
"""Statistic of a prediction to the field of the unit record that holds it."""


def _cutter(adata: "AnnData", roles: pd.DataFrame, board: Board) -> Callable[[int, str], Case]:
    """Sum the cells once for all folds."""
    statistics = measure(adata, roles, board)

    def cut(fold: int, key: str) -> Case:
        rows = roles[roles["fold"] == fold]
        return replace(
            _cut(adata, rows, board, key, statistics.target_sum),
            **dict(zip(("groups", "moments"), statistics.tables(fold), strict=True)),
        )

    return cut


def _cut(adata: "AnnData", roles: pd.DataFrame, board: Board, key: str, target_sum: float) -> Case:
    """Show training and input control cells; ask for test cells without showing them."""
    real_role = roles.set_index("cell_id")["role"]
    ids = opaque_ids(real_role.index, key)
    role = real_role[ids.index].to_numpy(dtype=str)
    real = adata[ids.index]
    obs = real.obs[[c for c in COLUMNS if c in real.obs]].assign(
        role=role,
        context=real.obs[str(board.context)].to_numpy(dtype=str),
        size_factor=size_factors(real.X, real.obs, board.size_factor),
    )
    obs.index = pd.Index(ids.to_numpy(), name="cell_id")
    cells = bare(real.X, obs, real.var_names)
    is_input = np.isin(role, INPUT_ROLES)
    inputs, scored = cells[is_input].copy(), cells[~is_input].copy()
    inputs.uns = {
        "target_sum": target_sum, "size_factor": board.size_factor, "cells": board.cells,
    }  # fmt: skip
    truth = _truth(real.obs.assign(cell_id=ids.to_numpy(), role=role)[~is_input], board)
    queries = truth.loc[truth["role"] == "test", ["perturbation", "context"]].drop_duplicates()
    return Case(
        inputs=inputs,
        truth=truth,
        queries=queries.sort_values(["perturbation", "context"]).reset_index(drop=True),
        truth_counts=scored,
    )


def _truth(obs: pd.DataFrame, board: Board) -> pd.DataFrame:
    """Return what each scored cell is; control cells belong to no unit."""
    perturbation = obs["perturbation"].to_numpy(dtype=str)
    unit = obs[board.unit].to_numpy(dtype=str)
    return pd.DataFrame(
        {
            "cell_id": obs["cell_id"].to_numpy(),
            "real_cell_id": obs.index,
            "role": obs["role"].to_numpy(),
            "unit": np.where(perturbation == CONTROL, "", unit),
            "perturbation": perturbation,
            "context": obs[str(board.context)].to_numpy(dtype=str),
        }
    )


def _ask(
    adapter: PerturbPredictor,
    inputs: "AnnData",
    queries: pd.DataFrame | None,
    run: RunContext,
) -> Answer:
    """Take the means, and cells where the adapter draws them."""
    if queries is None:
        raise TableError("a perturbation case lacks its queries.parquet")
    genes = list(map(str, inputs.var_names))
    table = adapter.predict(inputs, queries, run)
    check_prediction(table, queries, genes)
    if not inputs.uns.get("cells") or not isinstance(adapter, CellSampler):
        return Answer(table=table)
    cells = adapter.sample(inputs, queries, run)
    check_cells(cells, queries, genes)
    return Answer(table=table, cells=cells)


def _share(groups: pd.DataFrame | None, moments: pd.DataFrame | None) -> Moments:
    if moments is None or groups is None:
        raise TableError("the truth of a perturbation board lacks groups.parquet, moments.parquet.")
    return moments_of(groups, moments)


def _read(item: Evidence) -> tuple[Moments, dict[Key, np.ndarray]]:
    moments: Moments = item.shared or _share(item.groups, item.moments)
    return moments, predicted_profiles(item.prediction, moments.genes)


def _extra(item: Evidence, moments: Moments) -> dict[Key, dict[str, Any]]:
    """Return what an entry says beyond the mean, as fields of the unit record."""
    extra: dict[Key, dict[str, Any]] = {key: {"cells": s} for key, s in item.samples.items()}
    for statistic, field in FIELDS.items():
        profiles = predicted_profiles(item.prediction, moments.genes, statistic)
        for key, values in profiles.items():
            extra.setdefault(key, {})[field] = values
    return extra


def _observe(
    evidence: Sequence[Evidence], _board: Board, _constants: Mapping[str, Any]
) -> list[Observation]:
    """Return one observation a unit, its parts its perturbations and contexts, and one of all."""
    found = [pair for item in evidence for pair in _units(item)]
    return [*(observation for observation, _ in found), _whole(found)]


def _units(item: Evidence) -> Iterator[tuple[Observation, list[str]]]:
    """Yield the units of a fold, each with the contexts of its parts."""
    moments, predicted = _read(item)
    extra = _extra(item, moments)
    for unit, rows in moments.units().items():
        enough = [row for row in rows if moments.has_enough_controls(row)]
        contexts = sorted({str(c) for c in moments.context[rows]})
        reason = "; ".join(
            f"{moments.n_controls(c)} control cells in {c}, {MIN_CONTROLS} needed" for c in contexts
        )
        observation = Observation(
            fold=item.fold,
            seed=item.seed,
            unit=unit,
            n=int(moments.n[rows].sum()),
            parts=unit_parts(moments, predicted, enough or rows, extra=extra),
            undefined="" if enough else reason,
        )
        yield observation, [str(c) for c in moments.context[enough or rows]]


def _whole(found: Sequence[tuple[Observation, list[str]]]) -> Observation:
    """Return all units as one, for metrics that ask which of them an entry gets wrong."""
    units = [observation for observation, _ in found]
    parts = [
        (part, (str(observation.fold), context))
        for observation, contexts in found
        if not observation.undefined
        for part, context in zip(observation.parts, contexts, strict=True)
    ]
    places = sorted({place for _, place in parts})
    board = PerturbationBoard(
        units=tuple(part for part, _ in parts),
        block=np.array([places.index(place) for _, place in parts], dtype=np.int64),
    )
    folds = {observation.fold for observation in units}
    return Observation(
        fold=folds.pop() if len(folds) == 1 else POOLED,
        seed=units[0].seed,
        unit=WHOLE,
        n=sum(observation.n for observation in units),
        parts=(board,),
        undefined="" if parts else "; ".join(sorted({u.undefined for u in units})),
        is_whole=True,
    )


def _failures(
    evidence: Sequence[Evidence], _board: Board, constants: Mapping[str, Any]
) -> pd.DataFrame:
    """List the genes that truly move most in every unit, and those predicted the wrong way.

    Of responders only: elsewhere the genes that move most are those that noise moves most.
    """
    responders = set(constants.get("responders", ()))
    rows: list[tuple[Any, ...]] = []
    by_unit: dict[str, list[tuple[tuple[str, ...], PerturbationUnit]]] = {}
    for item in evidence:
        moments, predicted = _read(item)
        for unit, members in moments.units().items():
            if unit not in responders:
                continue
            parts = unit_parts(moments, predicted, members)
            by_unit.setdefault(unit, []).extend((moments.genes, part) for part in parts)
            n = int(moments.n[members].sum())
            rows += _top_genes(item, unit, moments.genes, parts, n)
    seeds = {item.seed for item in evidence}
    rows += [row for seed in seeds for row in direction_rows(by_unit.values(), seed)]
    return pd.DataFrame(rows, columns=FAILURES)


def _top_genes(
    item: Evidence, unit: str, genes: Sequence[str], parts: Sequence[PerturbationUnit], n: int
) -> Iterator[tuple[Any, ...]]:
    """Yield true and predicted shift of the genes that truly move most, means over contexts."""
    true = np.mean([p.truth - p.control_truth for p in parts], axis=0)
    said = np.mean([p.predicted - p.control_input for p in parts], axis=0)
    for position, gene in enumerate(np.argsort(-np.abs(true), kind="stable")[:N_TOP_GENES]):
        at = (item.fold, item.seed, "top_gene", unit, genes[gene], position)
        yield (*at, "true", true[gene], n)
        yield (*at, "predicted", said[gene], n)


TASK = Task(
    name="perturbation_prediction",
    label="Perturbation prediction",
    question="Can a model predict the effect of a perturbation, or its effect in new donors?",
    capability=PerturbPredictor,
    ask=_ask,
    cutter=_cutter,
    share=_share,
    check_prediction=check_prediction,
    observe=_observe,
    failures=_failures,
    freeze=freeze,
    ranked_order=("nwmse", "pds", "pearson_delta_reference", "pearson_delta"),
    declared_baselines=(
        "control-mean",
        "training-mean",
        "delta-shift",
        "perturbation-shift",
        "additive",
    ),
)
