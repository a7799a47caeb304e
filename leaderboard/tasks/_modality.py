"""Proteins in the unit of their board, and what is frozen about a modality board."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from jaxtyping import Float
from scipy import special

from leaderboard.errors import ConfigError, UndefinedScoreError
from leaderboard.spec import Board, Metric, ModalityUnit
from leaderboard.tasks._annotation import FIT_ROLES, LABEL, LEAST_GAP

if TYPE_CHECKING:
    from anndata import AnnData

PROTEIN = "protein"
EXPECTED = "protein_mean"
"""``obsm`` of simulated data: what a cell's proteins are expected to be, before its own noise."""
BLIND_SHARE = 0.5
"""A metric on which the training mean comes this far from floor to ceiling shows no skill."""

Values = Float[np.ndarray, "cells proteins"]


@dataclass(frozen=True, kw_only=True)
class Proteins:
    """The proteins of a dataset's cells, in the unit of a board."""

    names: tuple[str, ...]
    measured: Values
    """float32."""
    expected: Values | None
    """float32: the same without noise, where a simulator keeps it."""


def proteins_of(adata: "AnnData", board: Board) -> Proteins:
    """Return the proteins of all cells in the unit that the board's line declares.

    ``log`` takes the values as they are. ``clr`` takes counts of antibodies as log1p(count / g), g
    the geometric mean of count + 1 over all proteins of the cell: centred log ratios (Stoeckius et
    al. 2017, doi:10.1038/nmeth.4380) in the form of the values that the file of bmmc_cite holds
    beside its counts. It needs nothing but the cell itself, so no cell's proteins can reach
    another's, in any split, and nothing has to be fitted.

    Raises
    ------
    ConfigError
        If the line declares no unit or one that the values cannot have, or the dataset holds no
        finite proteins with a name each.
    """
    if PROTEIN not in adata.obsm or "protein_names" not in adata.uns:
        raise ConfigError(f"{board.id}: {board.dataset} has no obsm protein with protein_names.")
    values = np.asarray(adata.obsm[PROTEIN], dtype=np.float64)
    names = tuple(map(str, adata.uns["protein_names"]))
    if len(set(names)) != values.shape[1] or len(names) != values.shape[1]:
        raise ConfigError(
            f"{board.id}: {values.shape[1]} proteins have {len(set(names))} different names."
        )
    if not np.isfinite(values).all():
        raise ConfigError(f"{board.id}: obsm protein holds values that are not finite.")
    _check_unit(values, board)
    expected = adata.obsm.get(EXPECTED)
    return Proteins(
        names=names,
        measured=(centred_log_ratio(values) if board.protein_unit == "clr" else values).astype(
            np.float32
        ),
        expected=None if expected is None else np.asarray(expected, dtype=np.float32),
    )


def _check_unit(values: Values, board: Board) -> None:
    are_counts = bool((values >= 0).all() and (values == np.round(values)).all())
    if board.protein_unit == ("clr" if are_counts else "log"):
        return
    held, wanted = ("counts", "clr") if are_counts else ("no counts", "log")
    raise ConfigError(
        f"{board.id}: `protein_unit` is {board.protein_unit!r}, but obsm protein of "
        f"{board.dataset} holds {held}. Write `protein_unit: {wanted}` in its line of params.yaml."
    )


def centred_log_ratio(counts: Values) -> Values:
    """Return log1p(count / geometric mean of the cell's counts + 1); 0 stays 0."""
    geometric = np.exp(np.log1p(counts).mean(axis=1, keepdims=True))
    ratio: Values = np.log1p(counts / geometric)
    return ratio


def labels_of(obs: pd.DataFrame) -> np.ndarray:
    """Return the cell types, empty text where a cell or the dataset has none."""
    if LABEL not in obs:
        return np.repeat("", len(obs))
    known: np.ndarray = obs[LABEL].astype(object).where(obs[LABEL].notna(), "").to_numpy(dtype=str)
    return known


def freeze(
    adata: "AnnData", roles: pd.DataFrame, board: Board, metrics: Sequence[Metric]
) -> dict[str, Any]:
    """Return proteins, unit, floors, ceilings and trust of a modality board.

    Where a metric names no floor it is what the mean of every protein over training scores. The
    ceiling is what the noise-free proteins of a simulator score, else what the truth itself does.
    """
    proteins = proteins_of(adata, board)
    blind = dict(_units(adata, roles, board, proteins))
    perfect = {key: _answered_perfectly(proteins, rows, u) for key, (u, rows) in blind.items()}
    answers = {key: (unit, perfect[key]) for key, (unit, _) in blind.items()}
    kind = "truth" if proteins.expected is None else "noise-free truth"
    return {
        "proteins": list(proteins.names),
        "protein_unit": board.protein_unit,
        "metrics": {metric.name: _constants(metric, answers, kind) for metric in metrics},
    }


Key = tuple[str, int]


def _units(
    adata: "AnnData", roles: pd.DataFrame, board: Board, proteins: Proteins
) -> Iterator[tuple[Key, tuple[ModalityUnit, np.ndarray]]]:
    """Yield unit and fold, with its cells' rows, as the training mean of its fold answers."""
    unit = adata.obs[board.unit].astype(str).to_numpy()
    label = labels_of(adata.obs)
    for number, members in roles.groupby("fold", sort=True):
        row = adata.obs_names.get_indexer(members["cell_id"])
        fitted = np.sort(row[members["role"].isin(FIT_ROLES)])
        test = np.sort(row[members["role"] == "test"])
        mean = proteins.measured[fitted].mean(axis=0, dtype=np.float64).astype(np.float32)
        for name in np.unique(unit[test]):
            cells = test[unit[test] == name]
            said = np.broadcast_to(mean.astype(np.float64), (len(cells), len(mean)))
            truth = proteins.measured[cells].astype(np.float64)
            found = ModalityUnit(predicted=said, truth=truth, label=label[cells])
            yield (str(name), int(str(number))), (found, cells)


def _answered_perfectly(proteins: Proteins, rows: np.ndarray, unit: ModalityUnit) -> ModalityUnit:
    known = unit.truth if proteins.expected is None else proteins.expected[rows]
    return replace(unit, predicted=known.astype(np.float64))


def _constants(
    metric: Metric, answers: Mapping[Key, tuple[ModalityUnit, ModalityUnit]], kind: str
) -> dict[str, Any]:
    sign = 1.0 if metric.higher_is_better else -1.0
    try:
        blind = float(np.mean(_by_unit(metric, {k: u for k, (u, _) in answers.items()})))
        best = _by_unit(metric, {k: u for k, (_, u) in answers.items()})
    except UndefinedScoreError as error:
        edge = dict.fromkeys(("floor", "ceiling", "ceiling_low", "ceiling_high"), 0.0)
        reason = f"undefined in every unit of this board: {error}"
        return {**edge, "ceiling_kind": "none", "trusted": False, "reason": reason}
    ceiling = float(best.mean())
    floor = blind if metric.floor is None else metric.floor
    margin = _margin(best)
    reason = _distrust(sign * floor, sign * ceiling, sign * blind)
    return {
        "floor": floor,
        "ceiling": ceiling,
        "ceiling_low": ceiling - margin,
        "ceiling_high": ceiling + margin,
        "ceiling_kind": kind,
        "trusted": not reason,
        "reason": reason,
    }


def _by_unit(metric: Metric, units: Mapping[Key, ModalityUnit]) -> Float[np.ndarray, " units"]:
    """Return the value of every unit that has one: the mean over its folds, as scores take it."""
    values: dict[str, list[float]] = {}
    reasons = ["the board has no test cell"]
    for (name, _), unit in units.items():
        try:
            values.setdefault(name, []).append(metric.compute(unit))
        except UndefinedScoreError as error:
            reasons.append(str(error))
    known = [np.mean(found) for found in values.values() if found]
    if not known:
        raise UndefinedScoreError(reasons[-1])
    return np.array(known, dtype=np.float64)


def _margin(values: Float[np.ndarray, " units"]) -> float:
    """Return half the width of the 95 % t interval of a mean over units."""
    n = len(values)
    if n < 2:
        return 0.0
    return float(special.stdtrit(n - 1, 0.975) * np.std(values, ddof=1) / np.sqrt(n))


def _distrust(floor: float, ceiling: float, blind: float) -> str:
    """Return why a metric ranks nothing here, larger values being better; empty if it may."""
    if ceiling - floor < LEAST_GAP:
        return "the ceiling is not above the floor"
    share = (blind - floor) / (ceiling - floor)
    if share >= BLIND_SHARE:
        return (
            f"the training mean of every protein, without a look at a cell, comes {share:.0%} of "
            "the way from floor to ceiling"
        )
    return ""
