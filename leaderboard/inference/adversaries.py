"""Does anything built to game a metric beat the best simple baseline on it?"""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

Duel = Mapping[str, Any]
RESOLUTION = 1e-6
"""Leads this small are the rounding of float32 predictions."""


def duel(
    table: pd.DataFrame,
    adversaries: Sequence[str],
    baselines: Sequence[str],
    *,
    higher_is_better: bool,
) -> list[dict[str, Any]]:
    """Compare every adversary's mean with that of the best baseline on the units both have.

    Parameters
    ----------
    table
        Values of one metric, entries x units.

    Returns
    -------
    list of dict
        ``adversary value baseline baseline_value n beats``; an adversary without values (refused,
        undefined) is no row.
    """
    sign = 1.0 if higher_is_better else -1.0
    rows = []
    for name in sorted(set(adversaries) & set(table.index)):
        own = table.loc[name].dropna()
        shared = table.loc[[b for b in baselines if b in table.index], own.index]
        means = shared.mean(axis=1).dropna()
        if own.empty or means.empty:
            continue
        best = str((sign * means).idxmax())
        rows.append(
            {
                "adversary": name,
                "value": float(own.mean()),
                "baseline": best,
                "baseline_value": float(means[best]),
                "n": len(own),
                "beats": bool(sign * (own.mean() - means[best]) > RESOLUTION),
            }
        )
    return rows


def lost_to(duels: Sequence[Duel]) -> str:
    """Return why a metric loses its rank; empty if no adversary wins."""
    winners = [d for d in duels if d["beats"]]
    if not winners:
        return ""
    names = ", ".join(str(d["adversary"]).replace("_", " ") for d in winners)
    verb = "beats" if len(winners) == 1 else "beat"
    return f"can be gamed here: {names} {verb} the best simple baseline, {winners[0]['baseline']}"
