"""Can a model tell, from counts alone, which genes a regulator acts on?"""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from leaderboard.errors import PredictionError, TableError
from leaderboard.spec import (
    Answer,
    Board,
    Case,
    EdgeScorer,
    Evidence,
    Observation,
    RunContext,
    Task,
)
from leaderboard.tasks._ids import opaque_ids
from leaderboard.tasks._network import (
    failure_table,
    failures,
    freeze,
    gene_table,
    scored_edges,
    units_of,
)
from leaderboard.tasks._tables import bare

if TYPE_CHECKING:
    from anndata import AnnData

COLUMNS = ["regulator", "target", "weight"]
MAX_EDGES = 1_000_000
SHOWN = "total_counts_all_genes"


def _cutter(adata: "AnnData", roles: pd.DataFrame, board: Board) -> Callable[[int, str], Case]:
    """Find the truth once for all folds."""
    edges, genes = scored_edges(adata), gene_table(adata)
    truth = edges.assign(role="test", unit=edges["regulator"])

    def cut(fold: int, key: str) -> Case:
        if edges.empty:
            raise TableError(f"{board.id}: no regulator has enough targets to be scored.")
        ids = opaque_ids(roles.loc[roles["fold"] == fold, "cell_id"], key)
        chosen = adata[ids.index]
        obs = pd.DataFrame({"role": "test"}, index=pd.Index(ids.to_numpy(), name="cell_id"))
        if SHOWN in chosen.obs:
            obs[SHOWN] = chosen.obs[SHOWN].to_numpy()
        return Case(
            inputs=bare(chosen.X, obs, adata.var_names),
            truth=truth[["role", "unit", "regulator", "target", "sign"]].reset_index(drop=True),
            queries=genes[["gene", "is_regulator"]],
            groups=genes,
        )

    return cut


def _ask(
    adapter: EdgeScorer, inputs: "AnnData", queries: pd.DataFrame | None, run: RunContext
) -> Answer:
    """Have the edges scored."""
    if queries is None:
        raise TableError("a network board asks for the genes in queries.parquet, and it is missing")
    table = adapter.score_edges(inputs, queries, run)
    _check_prediction(table, queries, ())
    return Answer(table=table)


def _check_prediction(prediction: pd.DataFrame, keys: pd.DataFrame, _names: Sequence[str]) -> None:
    """Raise PredictionError unless rows are distinct edges of known genes with finite weights."""
    if sorted(map(str, prediction.columns)) != sorted(COLUMNS):
        raise PredictionError(f"expected the columns {COLUMNS}, got {list(prediction.columns)[:8]}")
    if not 0 < len(prediction) <= MAX_EDGES:
        raise PredictionError(f"expected 1 to {MAX_EDGES:,} edges, got {len(prediction):,}")
    _check_genes(prediction, keys)
    if prediction["weight"].dtype.kind != "f":
        raise PredictionError(f"weights are {prediction['weight'].dtype}, not numbers like float32")
    bad = prediction[~np.isfinite(prediction["weight"].to_numpy())]
    if len(bad):
        raise PredictionError(f"{len(bad)} weight(s) are not finite, first {_edge(bad)}")


def _check_genes(prediction: pd.DataFrame, keys: pd.DataFrame) -> None:
    known = {
        "regulator": set(keys.loc[keys["is_regulator"], "gene"]),
        "target": set(keys["gene"]),
    }
    for column, names in known.items():
        distinct = prediction[column].drop_duplicates()
        odd = [name for name in distinct if not isinstance(name, str) or name not in names]
        if odd:
            raise PredictionError(
                f"{len(odd)} {column}(s) that the board does not ask for, first {odd[0]!r}; names "
                "must match its genes exactly"
            )
    loops = prediction[prediction["regulator"] == prediction["target"]]
    if len(loops):
        raise PredictionError(f"{len(loops)} edge(s) of a gene to itself, first {_edge(loops)}")
    twice = prediction[prediction.duplicated(["regulator", "target"])]
    if len(twice):
        raise PredictionError(f"{len(twice)} duplicated edge(s), first {_edge(twice)}")


def _edge(rows: pd.DataFrame) -> str:
    return " to ".join(rows.iloc[0][COLUMNS[:2]])


def _asked(_truth: pd.DataFrame, groups: pd.DataFrame | None) -> pd.DataFrame:
    """Return the genes of the board."""
    if groups is None:
        raise TableError("the truth of a network board lacks groups.parquet")
    return groups


def _observe(
    evidence: Sequence[Evidence], _board: Board, constants: Mapping[str, Any]
) -> list[Observation]:
    nulls = constants["degree_auprc"]
    return [
        Observation(
            fold=item.fold,
            seed=item.seed,
            unit=name,
            n=int((unit.sign != 0).sum()),
            parts=(unit,),
        )
        for item in evidence
        for name, unit in units_of(
            item.truth, _asked(item.truth, item.groups), item.prediction, nulls
        ).items()
    ]


def _failures(
    evidence: Sequence[Evidence], _board: Board, _constants: Mapping[str, Any]
) -> pd.DataFrame:
    return pd.concat(
        [
            failure_table(
                failures(item.truth, _asked(item.truth, item.groups), item.prediction),
                item.fold,
                item.seed,
            )
            for item in evidence
        ],
        ignore_index=True,
    )


TASK = Task(
    name="gene_network",
    label="Gene network",
    question="Can a model tell which genes a regulator acts on, and in which direction?",
    capability=EdgeScorer,
    ask=_ask,
    cutter=_cutter,
    share=lambda _groups, _moments: None,
    check_prediction=_check_prediction,
    observe=_observe,
    failures=_failures,
    freeze=freeze,
    ranked_order=("auprc_ratio",),
    declared_baselines=("random-edges", "pearson-edges", "grn-trees"),
    gene_unit="regulator",
    asked=_asked,
)
