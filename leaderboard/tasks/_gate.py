"""What is frozen about a perturbation board: which units carry signal, floors, ceilings, trust.

Everything is computed from truth alone, over re-splits of the test and control cells.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import scipy.sparse as sp
from jaxtyping import Float, Int
from scipy import stats

from leaderboard.errors import UndefinedScoreError
from leaderboard.profiles import Counts, log_normalise, size_factors, weighted_means
from leaderboard.spec import Board, Metric
from leaderboard.tasks._moments import describe, median_size_factor, moments_tables, number_groups
from leaderboard.tasks._perturbation import Moments, Profile, read_moments, unit_parts, weights

if TYPE_CHECKING:
    from anndata import AnnData

N_SPLITS = 20
RESPONDER = 0.5
NULL_QUANTILE = 0.95
MIN_RESPONDERS = 5
MIN_WIN_RATE = 0.8
TRUTH_ROLES = ("test", "control_truth")
Means = Float[np.ndarray, "groups genes"]


@dataclass(frozen=True, kw_only=True)
class _Fold:
    """The cells behind the moments of one fold."""

    number: int
    moments: Moments
    values: Counts
    """Log-normalised, without the targets of the panel; cells x genes."""
    group: Int[np.ndarray, " cells"]
    scored: dict[str, list[int]]
    """Test groups of every unit, in contexts with enough control cells."""
    weight: dict[int, Profile]


def freeze(
    adata: "AnnData", roles: pd.DataFrame, board: Board, metrics: Sequence[Metric]
) -> dict[str, Any]:
    """Return responders, target sum, floors, ceilings and trust of a perturbation board."""
    obs = adata.obs.sort_index()
    adata = adata[obs.index]
    used = roles.drop_duplicates("cell_id")
    in_fold_0 = roles[roles["fold"] == 0].set_index("cell_id")["role"].reindex(obs.index)
    target_sum = median_size_factor(adata.X, obs, in_fold_0, board)
    values = log_normalise(adata.X, size_factors(adata.X, obs, board.size_factor), target_sum)
    known = pd.Series(np.arange(len(obs)), index=obs.index).loc[used["cell_id"]]
    reliability, scores = [], []
    for number, rows in roles.groupby("fold"):
        role = rows.set_index("cell_id")["role"].sort_index()
        cells = values[known[role.index].to_numpy()]
        fold = _fold(int(str(number)), cells, describe(obs, role, board), adata.var_names)
        reliability += list(_reliability(fold))
        scores += list(_scores(fold, metrics))
    units = pd.DataFrame(reliability, columns=["unit", "r", "null"]).groupby("unit").mean()
    gate = _gate(units)
    table = pd.DataFrame(scores, columns=["metric", "unit", "split", "predictor", "value"])
    table = table[table["unit"].isin(gate["responders"])]
    r = units.loc[gate["responders"], "r"].to_numpy()
    return {
        **gate,
        "reliability": {str(unit): float(value) for unit, value in units["r"].items()},
        "target_sum": target_sum,
        "metrics": {m.name: _constants(m, table[table["metric"] == m.name], r) for m in metrics},
    }


def _fold(number: int, values: Counts, cells: pd.DataFrame, genes: "pd.Index[str]") -> _Fold:
    moments = read_moments(*moments_tables(values, cells, genes))
    keep = np.flatnonzero(genes.isin(moments.genes))
    scored = {
        unit: [row for row in rows if moments.has_enough_controls(row)]
        for unit, rows in moments.units().items()
    }
    scored = {unit: rows for unit, rows in scored.items() if rows}
    return _Fold(
        number=number,
        moments=moments,
        values=values[:, keep],
        group=number_groups(cells)[1],
        scored=scored,
        weight={row: weights(moments, row) for rows in scored.values() for row in rows},
    )


def _gate(units: pd.DataFrame) -> dict[str, list[str]]:
    """Sort units by their split-half correlation and that of no effect at all."""
    limit = float(units["null"].quantile(NULL_QUANTILE))
    is_responder = units["r"] >= RESPONDER
    is_weak = ~is_responder & (units["r"] > limit)
    groups = {"responders": is_responder, "weak": is_weak, "noise": ~is_responder & ~is_weak}
    return {name: sorted(map(str, units.index[chosen])) for name, chosen in groups.items()}


def _halves(fold: _Fold, split: int) -> tuple[Means, Means]:
    """Return the means of two random halves of every group that only scoring sees."""
    rng = np.random.default_rng([fold.number, split])
    moments = fold.moments
    cells = np.flatnonzero(np.isin(moments.role[fold.group], TRUTH_ROLES))
    order = np.lexsort((rng.random(len(cells)), fold.group[cells]))
    group = fold.group[cells[order]]
    start = np.searchsorted(group, group, side="left")
    half = (np.arange(len(group)) - start) % 2
    n_groups = len(moments.role)
    return (
        _means(fold.values, cells[order][half == 0], group[half == 0], n_groups),
        _means(fold.values, cells[order][half == 1], group[half == 1], n_groups),
    )


def _means(values: Counts, cells: Int[np.ndarray, " members"], group: Any, n_groups: int) -> Means:
    member = sp.csr_matrix((np.ones(len(cells)), (group, cells)), (n_groups, values.shape[0]))
    with np.errstate(invalid="ignore"):
        means: Means = weighted_means(values, member)
    return means


def _with_noise(fold: _Fold, split: int) -> Moments:
    """Return moments whose test means are those of a bootstrap sample of the cells.

    The means play the noise-free truth and the sample its noisy measurement: weights are taken from
    the sample, because a gene that noise moved gets weight for it, which a perfect predictor pays.
    """
    rng = np.random.default_rng([fold.number, split, 1])
    moments = fold.moments
    test = moments.rows("test")
    cells = np.concatenate(
        [rng.choice(np.flatnonzero(fold.group == row), int(moments.n[row])) for row in test]
    )
    sampled = _means(fold.values, cells, fold.group[cells], len(moments.role))
    mean = moments.mean.copy()
    mean[test] = sampled[test]
    return replace(moments, mean=mean)


def _correlation(a: Profile, b: Profile) -> float:
    if np.ptp(a) == 0 or np.ptp(b) == 0 or not np.isfinite(a).all() or not np.isfinite(b).all():
        return 0.0
    return float(np.corrcoef(a, b)[0, 1])


def _reliability(fold: _Fold) -> Iterator[tuple[str, float, float]]:
    """Yield unit, split-half correlation of its shift, and the same where there is no shift."""
    moments = fold.moments
    for split in range(N_SPLITS):
        a, b = _halves(fold, split)
        rng = np.random.default_rng([fold.number, split, 2])
        for unit, rows in fold.scored.items():
            for row in rows:
                context = str(moments.context[row])
                control = moments.rows("control_truth", context)[0]
                r = _correlation(a[row] - a[control], b[row] - b[control])
                yield unit, r, _null(fold, context, int(moments.n[row]), rng)


def _null(fold: _Fold, context: str, n: int, rng: np.random.Generator) -> float:
    """Correlate the shifts of two halves of control cells that play a perturbation."""
    moments = fold.moments
    rows = [moments.rows(role, context)[0] for role in ("control_input", "control_truth")]
    cells = rng.permutation(np.flatnonzero(np.isin(fold.group, rows)))
    n = min(n, len(cells) // 2)
    played, control = cells[:n], cells[n:]
    parts = [played[::2], played[1::2], control[::2], control[1::2]]
    group = np.repeat(np.arange(4), [len(p) for p in parts])
    means = _means(fold.values, np.concatenate(parts), group, 4)
    return _correlation(means[0] - means[2], means[1] - means[3])


def _scores(fold: _Fold, metrics: Sequence[Metric]) -> Iterator[tuple[str, str, int, str, float]]:
    """Yield metric, unit, split, predictor and value for replicate, simple and noisy truth."""
    moments = fold.moments
    for split in range(N_SPLITS):
        a, b = _halves(fold, split)
        noisy = _with_noise(fold, split)
        for unit, rows in fold.scored.items():
            contexts = [str(moments.context[row]) for row in rows]
            again = {row: weights(noisy, row) for row in rows}
            predictors = {
                "replicate": ([b[row] for row in rows], a, fold.weight),
                "control": (
                    [moments.control("control_input", c) for c in contexts],
                    a,
                    fold.weight,
                ),
                "training": ([moments.training_mean(c) for c in contexts], a, fold.weight),
                "perfect": ([moments.mean[row] for row in rows], noisy.mean, again),
            }
            for name, (profiles, truth, weight) in predictors.items():
                keys = [(str(moments.perturbation[row]), str(moments.context[row])) for row in rows]
                parts = unit_parts(
                    moments,
                    dict(zip(keys, profiles, strict=True)),
                    rows,
                    truth=truth,
                    gene_weights=weight,
                )
                for metric in metrics:
                    yield metric.name, unit, split, name, _mean(metric, parts)


def _mean(metric: Metric, parts: Sequence[Any]) -> float:
    values = []
    for part in parts:
        try:
            values.append(metric.compute(part))
        except UndefinedScoreError:
            continue
    return float(np.mean(values)) if values else float("nan")


def _constants(
    metric: Metric, table: pd.DataFrame, r: Float[np.ndarray, " units"]
) -> dict[str, Any]:
    floor = float(metric.floor or 0.0)
    if table["value"].notna().sum() == 0:
        return _untrusted(floor, "undefined for every responder of this board")
    by = table.pivot_table(index=["unit", "split"], columns="predictor", values="value")
    for name in ("replicate", "control", "training", "perfect"):
        by[name] = by.get(name, np.nan)
    column = "perfect" if metric.ceiling == "noise" else "replicate"
    draws = by[column].groupby("split").mean()
    ceiling = float(draws.mean())
    if metric.ceiling == "reliability":
        clipped = np.clip(r, 0.0, 1.0)
        ceiling = float(np.mean(np.sqrt(2 * clipped / (1 + clipped))))
    margin = 1.96 * float(draws.std())
    reason = _distrust(metric, by, floor, ceiling)
    return {
        "floor": floor,
        "ceiling": ceiling,
        "ceiling_low": ceiling - margin,
        "ceiling_high": ceiling + margin,
        "ceiling_kind": metric.ceiling,
        "trusted": not reason,
        "reason": reason,
    }


def _untrusted(floor: float, reason: str) -> dict[str, Any]:
    edge = dict.fromkeys(("floor", "ceiling", "ceiling_low", "ceiling_high"), floor)
    return {**edge, "ceiling_kind": "none", "trusted": False, "reason": reason}


def _distrust(metric: Metric, by: pd.DataFrame, floor: float, ceiling: float) -> str:
    """Return why a metric ranks nothing on this board; empty if it may."""
    sign = 1.0 if metric.higher_is_better else -1.0
    if sign * (ceiling - floor) <= 0:
        return "the ceiling is not above the floor"
    simple = (sign * by[["control", "training"]]).max(axis=1).fillna(sign * floor)
    gap = sign * by["replicate"] - simple
    per_unit = gap.groupby("unit").mean().dropna().to_numpy(dtype=np.float64)
    if len(per_unit) < MIN_RESPONDERS:
        return f"{len(per_unit)} responder(s) with a value, {MIN_RESPONDERS} needed"
    wins = float((gap.dropna() > 0).mean())
    if wins < MIN_WIN_RATE:
        return f"a replicate beats the simple means in {wins:.0%} of re-splits, 80% needed"
    margin = stats.t.ppf(0.975, len(per_unit) - 1) * stats.sem(per_unit)
    return (
        ""
        if np.mean(per_unit) > margin
        else "the gap between replicate and simple means is not above zero"
    )
