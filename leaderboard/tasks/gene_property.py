"""Do a model's embeddings of genes tell a property that it was never shown?

A model places genes, a linear probe learns the property on four fifths of them and is scored on the
rest. Labels never leave the scoring side.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from jaxtyping import Float

from leaderboard.errors import PredictionError, TableError
from leaderboard.spec import (
    Answer,
    Board,
    Case,
    Evidence,
    GeneEmbedder,
    GenePropertyUnit,
    Observation,
    RunContext,
    Task,
)
from leaderboard.tasks._ids import opaque_ids
from leaderboard.tasks._probe import asked_genes, freeze, units_of
from leaderboard.tasks._tables import FAILURES, bare, check_keys

if TYPE_CHECKING:
    from anndata import AnnData

MAX_DIMS = 4096
N_SHOWN = 5
"""Misplaced genes of either kind in each unit of the failure table."""
SHOWN = "total_counts_all_genes"


def _cutter(adata: "AnnData", roles: pd.DataFrame, _board: Board) -> Callable[[int, str], Case]:
    """Find the asked genes once for all folds."""
    genes = asked_genes(adata)

    def cut(fold: int, key: str) -> Case:
        ids = opaque_ids(roles.loc[roles["fold"] == fold, "cell_id"], key)
        chosen = adata[ids.index]
        obs = pd.DataFrame({"role": "test"}, index=pd.Index(ids.to_numpy(), name="cell_id"))
        if SHOWN in chosen.obs:
            obs[SHOWN] = chosen.obs[SHOWN].to_numpy()
        return Case(
            inputs=bare(chosen.X, obs, adata.var_names),
            truth=genes.assign(role="test"),
            queries=genes[["gene"]].copy(),
        )

    return cut


def _ask(
    adapter: GeneEmbedder, inputs: "AnnData", queries: pd.DataFrame | None, run: RunContext
) -> Answer:
    """Have the genes placed."""
    if queries is None:
        raise TableError("a gene board asks for the genes in queries.parquet, and it is missing")
    table = adapter.embed_genes(inputs, queries, run)
    _check_prediction(table, queries, ())
    return Answer(table=table)


def _dims(prediction: pd.DataFrame) -> list[str]:
    return [c for c in map(str, prediction.columns) if c != "gene"]


def _check_prediction(prediction: pd.DataFrame, keys: pd.DataFrame, _names: Sequence[str]) -> None:
    """Raise PredictionError unless every asked gene has one row of finite coordinates."""
    check_keys(prediction, keys[["gene"]])
    dims = _dims(prediction)
    if not dims or sorted(dims) != sorted(f"d{k}" for k in range(len(dims))):
        raise PredictionError(
            f"expected the columns gene, d0, d1, ... without a gap, got {dims[:8]}"
        )
    if len(dims) > MAX_DIMS:
        raise PredictionError(f"{len(dims)} dimensions, at most {MAX_DIMS} expected")
    text = [d for d in dims if prediction[d].dtype.kind not in "iuf"]
    if text:
        raise PredictionError(f"{len(text)} dimension(s) hold no numbers, first {text[0]}")
    values = prediction[dims].to_numpy(dtype=np.float64)
    bad = ~(np.abs(values) <= np.finfo(np.float32).max).all(axis=1)
    if bad.any():
        first = prediction["gene"].to_numpy()[bad][0]
        raise PredictionError(
            f"{bad.sum()} gene(s) have a coordinate that is not finite in float32, first {first}"
        )


def _units(item: Evidence) -> dict[str, GenePropertyUnit]:
    truth = item.truth.sort_values("gene")
    return units_of(truth, _placed(item.prediction, truth["gene"]))


def _placed(prediction: pd.DataFrame, genes: "pd.Series[str]") -> Float[np.ndarray, "genes dims"]:
    """Return coordinates in the order of ``genes``."""
    dims = [f"d{k}" for k in range(len(_dims(prediction)))]
    placed = prediction.set_index("gene")[dims].reindex(genes.to_numpy())
    values: Float[np.ndarray, "genes dims"] = placed.to_numpy(dtype=np.float64)
    return values


def _observe(
    evidence: Sequence[Evidence], _board: Board, _constants: Mapping[str, Any]
) -> list[Observation]:
    return [
        Observation(fold=item.fold, seed=item.seed, unit=name, n=len(unit.score), parts=(unit,))
        for item in evidence
        for name, unit in _units(item).items()
    ]


def _failures(
    evidence: Sequence[Evidence], _board: Board, _constants: Mapping[str, Any]
) -> pd.DataFrame:
    """Return the genes of every fold that lie furthest on the wrong side.

    ``subject`` is the gene, ``key`` whether it has the property, ``value`` its place in the fold
    from 0 (least like genes with the property) to 1, ``n`` the genes of the fold.
    """
    rows = []
    for item in evidence:
        truth = item.truth.sort_values("gene")
        for name, unit in _units(item).items():
            genes = truth.loc[truth["unit"] == name, "gene"].to_numpy(dtype=str)
            place = pd.Series(unit.score).rank(pct=True).to_numpy()
            for kind, wrong in ((True, 1.0 - place), (False, place)):
                chosen = np.flatnonzero(unit.has_property == kind)
                order = chosen[np.lexsort((genes[chosen], -wrong[chosen]))][:N_SHOWN]
                rows += [
                    (item.fold, item.seed, "gene_error", name, genes[i], position,
                     "with" if kind else "without", float(place[i]), len(genes))
                    for position, i in enumerate(order)
                ]  # fmt: skip
    return pd.DataFrame(rows, columns=FAILURES)


TASK = Task(
    name="gene_property",
    label="Gene property",
    question="Do a model's gene embeddings tell a property of genes that it was not shown?",
    capability=GeneEmbedder,
    ask=_ask,
    cutter=_cutter,
    share=lambda _groups, _moments: None,
    check_prediction=_check_prediction,
    observe=_observe,
    failures=_failures,
    freeze=freeze,
    ranked_order=("property_auroc_matched",),
    declared_baselines=("gene-expression", "gene-names", "gene-coexpression"),
    gene_unit="gene_fold",
)
