"""What is frozen about a perturbation board: which units carry signal, floors, ceilings, trust.

Everything is computed from truth alone, over re-splits of the blocks of its test and control cells.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from jaxtyping import Float, Int
from scipy import special

from leaderboard.errors import UndefinedScoreError
from leaderboard.spec import Board, Metric
from leaderboard.tasks._ceiling import draw_truths
from leaderboard.tasks._moments import CONTROL_ROLES, Profile, Table
from leaderboard.tasks._perturbation import key_of, unit_parts
from leaderboard.tasks._statistics import FoldStatistics, fold_statistics, measure

if TYPE_CHECKING:
    from anndata import AnnData

N_SPLITS = 20
N_NULLS = 20
"""Units without effect that control cells play in each fold, at least."""
N_DRAWS_SHOWN = 5
"""Draws of the truth for metrics that rank nothing."""
RESPONDER = 0.5
NULL_QUANTILE = 0.95
MIN_RESPONDERS = 5
MIN_WIN_RATE = 0.8
TRUTH_ROLES = ("test", "control_truth")
SIMPLE = ["control", "training"]
DEALT = "cells, not groups, were held out"
NO_LIMIT = "how much an entry can know of its errors depends on these errors"


def freeze(
    adata: "AnnData", roles: pd.DataFrame, board: Board, metrics: Sequence[Metric]
) -> dict[str, Any]:
    """Return responders, target sum, novelty, floors, ceilings and trust of a board.

    A random board holds a share of every perturbation's cells in each fold, too few to gate on: its
    units are gated by the board it matches, and its metrics have no scale.
    """
    statistics = measure(adata, roles, board)
    folds = [fold_statistics(statistics, k) for k in range(statistics.role.shape[1])]
    common = {
        "target_sum": statistics.target_sum,
        "novelty": {str(fold.number): _novelty(fold, _scored(fold)) for fold in folds},
    }
    if board.is_random:
        return {**common, "metrics": {m.name: _untrusted(m, DEALT) for m in metrics}}
    r, gate = _sorted_units(folds)
    by_unit = [m for m in metrics if not m.is_whole]
    scores = [
        row
        for fold in folds
        for row in _scores(fold, _only(_scored(fold), gate["responders"]), by_unit)
    ]
    table = pd.DataFrame(scores, columns=["metric", "unit", "split", "predictor", "value"])
    found = {m.name: _constants(m, table[table["metric"] == m.name]) for m in by_unit}
    return {
        **common,
        **gate,
        "reliability": {str(unit): float(value) for unit, value in r.items()},
        "metrics": {
            m.name: _untrusted(m, NO_LIMIT) if m.is_whole else found[m.name] for m in metrics
        },
    }


def _sorted_units(folds: Sequence[FoldStatistics]) -> tuple["pd.Series[float]", dict[str, Any]]:
    """Return every unit's split-half correlation, and responders, weak ones and noise."""
    reliability = [row for fold in folds for row in _reliability(fold, _scored(fold))]
    nulls = [value for fold in folds for value in _nulls(fold, _scored(fold))]
    r = pd.DataFrame(reliability, columns=["unit", "r"]).groupby("unit")["r"].mean()
    return r, _gate(r, nulls)


def _only(scored: dict[str, list[int]], units: Sequence[str]) -> dict[str, list[int]]:
    return {unit: scored[unit] for unit in units if unit in scored}


def _scored(fold: FoldStatistics) -> dict[str, list[int]]:
    """Return the test groups of every unit, in contexts with enough control cells."""
    scored = {
        unit: [row for row in rows if fold.moments.has_enough_controls(row)]
        for unit, rows in fold.moments.units().items()
    }
    return {unit: rows for unit, rows in scored.items() if rows}


def _gate(r: "pd.Series[float]", nulls: Sequence[float]) -> dict[str, list[str]]:
    """Sort units by their split-half correlation and that of no effect at all."""
    limit = float(np.quantile(nulls, NULL_QUANTILE)) if nulls else 0.0
    is_responder = r >= RESPONDER
    is_weak = ~is_responder & (r > limit)
    groups = {"responders": is_responder, "weak": is_weak, "noise": ~is_responder & ~is_weak}
    return {name: sorted(map(str, r.index[chosen])) for name, chosen in groups.items()}


def _halves(fold: FoldStatistics, split: int) -> tuple[Table, Table]:
    """Return the means of two random halves of every group that only scoring sees."""
    rng = np.random.default_rng([fold.number, split])
    first, second = {}, {}
    for group in np.flatnonzero(np.isin(fold.moments.role, TRUTH_ROLES)):
        blocks = rng.permutation(fold.blocks[group])
        blocks = blocks[fold.block_n[blocks] > 0]
        first[int(group)], second[int(group)] = blocks[::2], blocks[1::2]
    return fold.means(first), fold.means(second)


def _correlation(a: Profile, b: Profile) -> float:
    a, b = a - a.mean(), b - b.mean()
    scale = float(np.sqrt((a @ a) * (b @ b)))
    return float(a @ b) / scale if np.isfinite(scale) and scale > 0 else 0.0


def _reliability(fold: FoldStatistics, scored: dict[str, list[int]]) -> Iterator[tuple[str, float]]:
    """Yield unit and split-half correlation of its shift, from independent controls."""
    moments = fold.moments
    for split in range(N_SPLITS):
        a, b = _halves(fold, split)
        rng = np.random.default_rng([fold.number, split, 2])
        test = [(unit, row) for unit, rows in scored.items() for row in rows]
        for context in sorted({str(moments.context[row]) for _, row in test}):
            blocks = rng.permutation(_control_blocks(fold, context))
            control_a, control_b = _block_mean(fold, blocks[::2]), _block_mean(fold, blocks[1::2])
            for unit, row in test:
                if moments.context[row] == context:
                    yield unit, _correlation(a[row] - control_a, b[row] - control_b)


def _nulls(fold: FoldStatistics, scored: dict[str, list[int]]) -> Iterator[float]:
    """Yield what units would have for r without any effect: control cells play them.

    The same cells play a unit in every re-split, as its own cells do: so the average over re-splits
    spreads like that of a unit.
    """
    n_plays = -(-N_NULLS // max(len(scored), 1))
    for number, rows in enumerate(scored.values()):
        for play in range(n_plays):
            rng = np.random.default_rng([fold.number, number, play, 3])
            yield float(np.mean([_null(fold, row, rng) for row in rows]))


def _null(fold: FoldStatistics, row: int, rng: np.random.Generator) -> float:
    """Average the split-half correlation of the shift of control cells that play a group."""
    blocks = rng.permutation(_control_blocks(fold, str(fold.moments.context[row])))
    size = fold.block_n[blocks].mean()
    n_played = int(np.clip(round(fold.moments.n[row] / size), 2, len(blocks) // 2))
    share = np.zeros((2 * N_SPLITS, len(blocks)))
    for split in range(N_SPLITS):
        for sign, played in ((1.0, range(n_played)), (-1.0, range(n_played, len(blocks)))):
            order = rng.permutation(played)
            for half, chosen in enumerate((order[::2], order[1::2])):
                share[2 * split + half, chosen] = sign / fold.block_n[blocks[chosen]].sum()
    shift = share @ fold.block_total[blocks]
    return float(
        np.mean([_correlation(a, b) for a, b in zip(shift[::2], shift[1::2], strict=True)])
    )


def _control_blocks(fold: FoldStatistics, context: str) -> Int[np.ndarray, " blocks"]:
    """Return the blocks of both halves of a context's controls: no model is involved here."""
    rows = [fold.moments.control_row(role, context) for role in CONTROL_ROLES]
    return np.concatenate([fold.blocks[row] for row in rows])


def _block_mean(fold: FoldStatistics, blocks: Int[np.ndarray, " blocks"]) -> Profile:
    mean: Profile = fold.block_total[blocks].sum(axis=0) / max(fold.block_n[blocks].sum(), 1)
    return mean


def _scores(
    fold: FoldStatistics, scored: dict[str, list[int]], metrics: Sequence[Metric]
) -> Iterator[tuple[str, str, int, str, float]]:
    """Yield metric, unit, split, predictor and value.

    ``replicate`` and the simple means predict one half of the truth, for metrics that rank;
    ``perfect`` draws the truth behind the whole of it; ``floor`` is the control mean against it.
    """
    ranked = [m for m in metrics if m.is_ranked]
    test = [row for rows in scored.values() for row in rows]
    perfect = {
        kind: _draws(fold, test, with_relatives=kind) for kind in {m.compares for m in metrics}
    }
    for split in range(N_SPLITS):
        halves = _halves(fold, split)
        for name, profiles in _half_predictors(fold, test, halves[1]).items():
            for metric, unit, value in _values(fold, scored, profiles, ranked, halves[0]):
                yield metric, unit, split, name, value
        for kind, truths in perfect.items():
            asked = [
                m for m in (metrics if split < N_DRAWS_SHOWN else ranked) if m.compares == kind
            ]
            drawn = {row: truths[row][split] for row in test}
            for metric, unit, value in _values(fold, scored, drawn, asked, None):
                yield metric, unit, split, "perfect", value
    for metric, unit, value in _values(fold, scored, _controls(fold, test), metrics, None):
        yield metric, unit, 0, "floor", value


def _draws(
    fold: FoldStatistics, rows: Sequence[int], *, with_relatives: bool
) -> dict[int, Float[np.ndarray, "draws genes"]]:
    return {
        row: draw_truths(
            fold.moments,
            row,
            N_SPLITS,
            np.random.default_rng([fold.number, row, 1]),
            with_relatives=with_relatives,
        )
        for row in rows
    }


def _half_predictors(
    fold: FoldStatistics, rows: Sequence[int], other_half: Table
) -> dict[str, dict[int, Profile]]:
    moments = fold.moments
    return {
        "replicate": {row: other_half[row] for row in rows},
        "control": _controls(fold, rows),
        "training": {row: moments.training_mean(str(moments.context[row])) for row in rows},
    }


def _controls(fold: FoldStatistics, rows: Sequence[int]) -> dict[int, Profile]:
    moments = fold.moments
    return {row: moments.control("control_input", str(moments.context[row])) for row in rows}


def _values(
    fold: FoldStatistics,
    scored: dict[str, list[int]],
    profiles: Mapping[int, Profile],
    metrics: Sequence[Metric],
    truth: Table | None,
) -> Iterator[tuple[str, str, float]]:
    """Yield metric, unit and value of one predictor's profiles, by number of group."""
    predicted = {key_of(fold.moments, row): profile for row, profile in profiles.items()}
    parts = unit_parts(fold.moments, predicted, list(profiles), truth=truth)
    by_row = dict(zip(profiles, parts, strict=True))
    for unit, rows in scored.items():
        for metric in metrics:
            yield metric.name, unit, _mean(metric, [by_row[row] for row in rows])


def _mean(metric: Metric, parts: Sequence[Any]) -> float:
    values = []
    for part in parts:
        try:
            values.append(metric.compute(part))
        except UndefinedScoreError:
            continue
    return sum(values) / len(values) if values else float("nan")


def _novelty(fold: FoldStatistics, scored: dict[str, list[int]]) -> dict[str, float]:
    """Return 1 - the largest cosine of a unit's shift to that of a training perturbation.

    Shifts are from the scored controls; a unit with several contexts gets their mean.
    """
    moments = fold.moments
    found = {}
    for unit, rows in scored.items():
        distances = []
        for row in rows:
            context = str(moments.context[row])
            training = moments.rows("train", context) or moments.rows("train")
            control = moments.control("control_truth", context)
            shift, known = moments.mean[row] - control, moments.mean[training] - control
            norm = np.linalg.norm(known, axis=1) * np.linalg.norm(shift)
            cosine = np.divide(known @ shift, norm, out=np.zeros(len(norm)), where=norm > 0)
            distances.append(1.0 - float(cosine.max()))
        found[unit] = float(np.mean(distances))
    return found


def _constants(metric: Metric, table: pd.DataFrame) -> dict[str, Any]:
    by = table.pivot_table(index=["unit", "split"], columns="predictor", values="value")
    for name in ("replicate", "perfect", "floor", *SIMPLE):
        by[name] = by.get(name, np.nan)
    floor = by["floor"].mean() if metric.floor is None else metric.floor
    if not np.isfinite(floor) or by["perfect"].isna().all():
        return _untrusted(metric, "undefined for every responder")
    low, ceiling, high = _ceiling(by["perfect"])
    reason = _distrust(metric, by, float(floor), ceiling)
    return {
        "floor": float(floor),
        "ceiling": ceiling,
        "ceiling_low": low,
        "ceiling_high": high,
        "ceiling_kind": metric.ceiling,
        "trusted": not reason,
        "reason": reason,
    }


def _ceiling(perfect: "pd.Series[float]") -> tuple[float, float, float]:
    """Return lower end, ceiling and upper end from scores by unit; the interval is over units."""
    values = perfect.groupby("unit").mean().dropna().to_numpy(dtype=np.float64)
    ceiling, n = float(np.mean(values)), len(values)
    margin = _margin(values) if n > 1 else 0.0
    return ceiling - margin, ceiling, ceiling + margin


def _margin(values: Float[np.ndarray, " units"]) -> float:
    """Return half the width of the 95 % t interval of a mean."""
    n = len(values)
    return float(special.stdtrit(n - 1, 0.975) * np.std(values, ddof=1) / np.sqrt(n))


def _untrusted(metric: Metric, reason: str) -> dict[str, Any]:
    floor = float(metric.floor or 0.0)
    edge = dict.fromkeys(("floor", "ceiling", "ceiling_low", "ceiling_high"), floor)
    return {**edge, "ceiling_kind": "none", "trusted": False, "reason": reason}


def _distrust(metric: Metric, by: pd.DataFrame, floor: float, ceiling: float) -> str:
    """Return why a metric ranks nothing on this board; empty if it may."""
    sign = 1.0 if metric.higher_is_better else -1.0
    if sign * (ceiling - floor) <= 0:
        return "the ceiling is not above the floor"
    if not metric.is_ranked:
        return ""
    simple = (sign * by[SIMPLE]).max(axis=1).fillna(sign * floor)
    gap = sign * by["replicate"] - simple
    per_unit = gap.groupby("unit").mean().dropna().to_numpy(dtype=np.float64)
    if len(per_unit) < MIN_RESPONDERS:
        return f"{len(per_unit)} responder(s) with a value, {MIN_RESPONDERS} needed"
    wins = float((gap.dropna() > 0).mean())
    if wins < MIN_WIN_RATE:
        return f"a replicate beats the simple means in {wins:.0%} of re-splits, 80% needed"
    return (
        ""
        if np.mean(per_unit) > _margin(per_unit)
        else "the gap between replicate and simple means is not above zero"
    )
