"""Regulators as units: who is scored, on which candidates, what is frozen, where entries fail."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from jaxtyping import Float

from leaderboard.errors import TableError, UndefinedScoreError
from leaderboard.spec import Board, Metric, RegulatorUnit
from leaderboard.tasks._tables import FAILURES

if TYPE_CHECKING:
    from anndata import AnnData

MIN_TARGETS = 5
"""A regulator is scored if it has as many true targets, and as many candidates that are none."""
MIN_REGULATORS = 5
N_NULLS = 100
"""Rankings drawn by in-degree for the degree-matched null of a regulator."""
LEAST_GAP = 1e-9
N_SHOWN = 5
"""False and missed edges of each regulator in the failure table."""
Units = Mapping[str, RegulatorUnit]


def true_edges(adata: "AnnData") -> pd.DataFrame:
    """Return the truth that the dataset's reader attached: ``regulator target sign``."""
    if "network" not in adata.uns or "regulators" not in adata.uns:
        raise TableError(
            "the dataset holds no network: its reader must attach one (datasets/_network.py)"
        )
    edges: pd.DataFrame = adata.uns["network"]
    return edges.astype({"regulator": str, "target": str, "sign": int})


def scored_edges(adata: "AnnData") -> pd.DataFrame:
    """Return the edges of the regulators that are scored."""
    edges = true_edges(adata)
    n = edges.groupby("regulator")["target"].transform("size")
    scored: pd.DataFrame = edges[(n >= MIN_TARGETS) & (n <= adata.n_vars - 1 - MIN_TARGETS)]
    return scored


def gene_table(adata: "AnnData") -> pd.DataFrame:
    """Return ``gene is_regulator in_degree`` of every measured gene, sorted by gene."""
    genes = np.sort(adata.var_names.to_numpy(dtype=str))
    regulators = np.asarray(adata.uns["regulators"], dtype=str)
    degree = true_edges(adata)["target"].value_counts().reindex(genes, fill_value=0)
    return pd.DataFrame(
        {
            "gene": genes,
            "is_regulator": np.isin(genes, regulators),
            "in_degree": degree.to_numpy(dtype=np.int64),
        }
    )


def units_of(
    truth: pd.DataFrame,
    genes: pd.DataFrame,
    prediction: pd.DataFrame | None = None,
    nulls: Mapping[str, float] | None = None,
) -> dict[str, RegulatorUnit]:
    """Return the unit record of every scored regulator, sorted by name.

    Parameters
    ----------
    truth
        ``unit target sign`` of the scored edges.
    genes
        Has the measured genes in ``gene``.
    prediction
        ``regulator target weight``; None gives no edge.
    nulls
        Degree-matched null by regulator; 0 where there is none.
    """
    index = pd.Index(genes["gene"])
    given = _rows_by(prediction, "regulator", "weight", index)
    units = {}
    for name, (place, sign) in sorted(_rows_by(truth, "unit", "sign", index).items()):
        signs, weights, is_given = np.zeros((3, len(index)))
        signs[place] = sign
        if name in given:
            weights[given[name][0]], is_given[given[name][0]] = given[name][1], 1.0
        others = index != name
        units[name] = RegulatorUnit(
            weight=weights[others],
            is_given=is_given[others].astype(bool),
            sign=signs[others],
            degree_auprc=(nulls or {}).get(name, 0.0),
        )
    return units


def _rows_by(
    table: pd.DataFrame | None, group: str, value: str, index: "pd.Index[str]"
) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Return places of the targets in ``index`` and values, by regulator."""
    if table is None or table.empty:
        return {}
    place = index.get_indexer(pd.Index(table["target"]))
    values = table[value].to_numpy(dtype=np.float64)
    rows = table.groupby(group, sort=False).indices
    return {str(name): (place[own], values[own]) for name, own in rows.items()}


def freeze(
    adata: "AnnData", _roles: pd.DataFrame, _board: Board, metrics: Sequence[Metric]
) -> dict[str, Any]:
    """Return scored regulators, degree-matched nulls, floors, ceilings and trust of a board.

    The ceiling is what the exact network scores. The floor, where a metric has none of its own, is
    the best of three answers that know nothing: no edge at all, all edges up, all edges down.
    """
    truth = scored_edges(adata).rename(columns={"regulator": "unit"})
    genes = gene_table(adata)
    units = units_of(truth, genes)
    auprc = next(m for m in metrics if m.name == "auprc")
    degrees = {name: _other_degree(name, unit, genes) for name, unit in units.items()}
    nulls = {
        name: _degree_null(auprc, unit, degrees[name], number)
        for number, (name, unit) in enumerate(units.items())
    }
    units = {name: replace(unit, degree_auprc=nulls[name]) for name, unit in units.items()}
    return {
        "n_targets": {name: int((unit.sign != 0).sum()) for name, unit in units.items()},
        "degree_auprc": nulls,
        "metrics": {m.name: _constants(m, units, degrees) for m in metrics},
    }


def _other_degree(
    name: str, unit: RegulatorUnit, genes: pd.DataFrame
) -> Float[np.ndarray, " targets"]:
    """Return the in-degree of a regulator's candidates without its own edges."""
    degree = genes.loc[genes["gene"] != name, "in_degree"].to_numpy(dtype=np.float64)
    others: Float[np.ndarray, " targets"] = degree - (unit.sign != 0)
    return others


def _degree_null(
    auprc: Metric, unit: RegulatorUnit, degree: Float[np.ndarray, " targets"], number: int
) -> float:
    """Return the mean AUPRC of rankings whose next target is drawn in proportion to in-degree.

    Exponential waiting times of rate ``degree`` end in such an order. Genes that no other regulator
    has for a target come last, in random order.
    """
    rng = np.random.default_rng([number, 0])
    drawn = degree > 0
    values = []
    for _ in range(N_NULLS):
        weight = np.zeros(len(degree))
        weight[drawn] = degree[drawn] / rng.standard_exponential(int(drawn.sum()))
        values.append(auprc.compute(replace(unit, weight=weight, is_given=drawn)))
    return float(np.mean(values))


def _answered(units: Units, weights: Mapping[str, np.ndarray]) -> Units:
    return {
        name: replace(unit, weight=weights[name], is_given=weights[name] != 0)
        for name, unit in units.items()
    }


def _constants(metric: Metric, units: Units, degrees: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """Return floor, ceiling and trust of one metric."""
    sign = 1.0 if metric.higher_is_better else -1.0
    nothing = _answered(units, {name: 0 * unit.sign for name, unit in units.items()})
    same = [
        _answered(units, {name: way + 0 * unit.sign for name, unit in units.items()})
        for way in (1.0, -1.0)
    ]
    ceiling = board_mean(metric, _answered(units, {n: u.sign for n, u in units.items()}))
    blind = [v for a in (nothing, *same) if (v := board_mean(metric, a)) is not None]
    if ceiling is None or not blind:
        nowhere = float(metric.floor or 0.0)
        edge = dict.fromkeys(("floor", "ceiling", "ceiling_low", "ceiling_high"), nowhere)
        reason = f"no regulator has {MIN_TARGETS} targets among the genes of this board"
        return {**edge, "ceiling_kind": "none", "trusted": False, "reason": reason}
    floor = metric.floor
    if floor is None:
        floor = sign * max(sign * value for value in blind)
    popular = board_mean(metric, _answered(units, degrees))
    reason = ""
    if len(units) < MIN_REGULATORS:
        reason = f"{len(units)} regulator(s) with {MIN_TARGETS} targets; {MIN_REGULATORS} needed"
    elif sign * (ceiling - floor) < LEAST_GAP:
        reason = "the exact network scores no better than knowing nothing"
    elif popular is not None and sign * (ceiling - popular) < LEAST_GAP:
        reason = "the in-degree of targets alone scores like the exact network"
    return {
        "floor": floor,
        "ceiling": ceiling,
        "ceiling_low": ceiling,
        "ceiling_high": ceiling,
        "ceiling_kind": "exact network",
        "trusted": not reason,
        "reason": reason,
    }


def board_mean(metric: Metric, units: Units) -> float | None:
    """Return the mean over the regulators in which a metric is defined; None if in none."""
    values = []
    for unit in units.values():
        try:
            values.append(metric.compute(unit))
        except UndefinedScoreError:
            continue
    return float(np.mean(values)) if values else None


def failures(
    truth: pd.DataFrame, genes: pd.DataFrame, prediction: pd.DataFrame
) -> Iterator[tuple[Any, ...]]:
    """Yield the strongest false and the lowest true edges of every scored regulator.

    ``kind unit subject position key value n``: subject and key are the edge, value is its weight, n
    its place among the regulator's candidates, the best of a tie.
    """
    names = genes["gene"].to_numpy()
    for name, unit in units_of(truth, genes, prediction).items():
        targets, size = names[names != name], np.abs(unit.weight)
        size = np.where(unit.is_given, size, -1.0)
        place = len(size) + 1 - np.searchsorted(np.sort(size), size, side="right")
        order = np.lexsort((targets, -size))
        wrong = [i for i in order if unit.is_given[i] and unit.sign[i] == 0][:N_SHOWN]
        missed = [i for i in order[::-1] if unit.sign[i] != 0][:N_SHOWN]
        for kind, chosen in (("false_edge", wrong), ("missed_edge", missed)):
            for position, i in enumerate(chosen):
                yield kind, name, name, position, targets[i], float(unit.weight[i]), int(place[i])


def failure_table(rows: Iterator[tuple[Any, ...]], fold: int, seed: int) -> pd.DataFrame:
    """Return failure rows as a table of one fold and seed."""
    table = pd.DataFrame(rows, columns=FAILURES[2:])
    table.insert(0, "seed", seed)
    table.insert(0, "fold", fold)
    return table
