"""Records of a site with a synthetic screen: ranked and unranked metrics, strata, adversaries."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from leaderboard.inference.evidence import BoardEvidence, EntryFacts
from leaderboard.inference.standings import build_standings
from leaderboard.site.records import MetricText, SiteData, TaskText
from leaderboard.spec import Board
from tests.site_data import PERTURBATION, dataset, entry, site

RANKED = ("nwmse", "pds", "pearson_delta_reference", "pearson_delta")
SHOWN = ("energy_distance", "mse", "wmse")
KINDS = {
    "control-mean": "baseline", "training-mean": "baseline", "gears": "model", "net": "model",
    "oracle": "control", "constant": "adversary", "nan-filler": "adversary",
    "rescaler": "adversary",
}  # fmt: skip
QUALITY = dict(zip(KINDS, (0.0, 0.4, 0.5, 0.8, 1.0, 0.05, 0.0, 0.3), strict=True))
"""From what knows nothing to what knows the truth; values of all metrics follow from it."""
UNITS = [f"P{k:02d}" for k in range(12)]
OUTSIDE = {"weak": ["W0", "W1"], "noise": ["N0", "N1", "N2"]}
SCALES: Mapping[str, tuple[float, float]] = {
    "nwmse": (0.0, -3.0), "pds": (0.5, 1.0), "pearson_delta": (0.0, 0.9),
    "pearson_delta_reference": (0.0, 0.8), "mse": (0.004, 0.0002), "wmse": (0.02, 0.001),
    "energy_distance": (1.0, 0.1),
}  # fmt: skip
K562 = Board(
    dataset="screen", task=PERTURBATION, split="combination", unit="perturbation",
    context="cell_line", variant="k562",
)  # fmt: skip
DECLARED = Board(
    dataset="screen", task=PERTURBATION, split="perturbation", unit="perturbation",
    context="cell_line", variant="other-lines", unranked="declared negative control: no signal.",
)  # fmt: skip


def score_rows(board: Board, *, gamed: bool = True) -> pd.DataFrame:
    """Return the scores of every entry; the rescaler wins ``pearson_delta`` if ``gamed``."""
    rng = np.random.default_rng(11)
    units = [*UNITS, *OUTSIDE["weak"], *OUTSIDE["noise"]]
    shift = dict(zip(units, rng.normal(0, 0.05, len(units)), strict=True))
    table = []
    for metric in (*RANKED, *SHOWN):
        floor, ceiling = SCALES[metric]
        for name in KINDS:
            best = gamed and (name, metric) == ("rescaler", "pearson_delta")
            for k, unit in enumerate(units):
                quality = (0.9 if best else QUALITY[name]) * (unit[0] == "P")
                noise = shift[unit] + 0.01 * ((k + len(name)) % 3)
                row = {
                    "entry": name, "board": board.id, "fold": k % 2, "seed": 0, "metric": metric,
                    "unit": unit, "stratum": "all", "n": 50, "status": "ok", "reason": "",
                    "value": floor + (ceiling - floor) * (quality + noise),
                }  # fmt: skip
                table.append({**row, **_state(name, metric, unit)})
    return pd.DataFrame(table)


def _state(name: str, metric: str, unit: str) -> dict[str, Any]:
    """Return what goes wrong: no cells, a refused answer, a constant shift, one unit missing."""
    if name == "nan-filler":
        return {"value": np.nan, "status": "failed", "reason": "12 row(s) hold NaN"}
    undefined: dict[str, Any] = {"value": np.nan, "status": "undefined"}
    if metric == "energy_distance":
        return {**undefined, "reason": "needs predicted cells"}
    if (name, metric) == ("control-mean", "pearson_delta"):
        return {**undefined, "reason": "no shift is predicted"}
    if (name, metric, unit) == ("gears", "mse", "P00"):
        return {**undefined, "reason": "P00 is not in its graph"}
    if (name, metric, unit) == ("gears", "nwmse", "N0"):
        return {**undefined, "reason": "N0 is not in its graph"}
    return {}


def constants() -> dict[str, Any]:
    """Return frozen constants: ``pds`` is not trusted, the others are."""
    frozen = {}
    for metric, (floor, ceiling) in SCALES.items():
        low, high = sorted((ceiling * 0.98, ceiling * 1.02))
        is_trusted = metric != "pds"
        frozen[metric] = {
            "floor": floor, "ceiling": ceiling, "ceiling_low": low, "ceiling_high": high,
            "ceiling_kind": "noise", "trusted": is_trusted,
            "reason": "" if is_trusted else "a replicate beats the simple means in 55% of "
            "re-splits, 80% needed",
        }  # fmt: skip
    units = [*UNITS, *OUTSIDE["weak"], *OUTSIDE["noise"]]
    return {
        "responders": UNITS, **OUTSIDE, "metrics": frozen, "target_sum": 1000.0,
        "reliability": {u: round(0.95 - 0.06 * k, 2) for k, u in enumerate(units)},
        "strata": {
            "combo_seen2": {"0": UNITS[::2]}, "unseen_single": {"1": UNITS[1:6:2]},
            "combo_seen0": {"1": UNITS[7::2]},
        },
        "novelty": {
            fold: {u: 0.05 + 0.04 * k for k, u in enumerate(units) if k % 2 == int(fold)}
            for fold in "01"
        },
    }  # fmt: skip


def screen_evidence(
    board: Board = K562, *, gamed: bool = True, source: str = "committed"
) -> BoardEvidence:
    """Return a board with two models, two baselines, an oracle and three adversaries."""
    kinds = {name: "control" if k == "adversary" else k for name, k in KINDS.items()}
    return BoardEvidence(
        board=board,
        suite="public_small",
        release="2026.1",
        source=source,
        scores=score_rows(board, gamed=gamed),
        constants=constants(),
        findings=[{"severity": "ok"}] * 3,
        entries={
            name: EntryFacts(
                name=name, kind=kinds[name], tier="default", verification="reproduced",
                weights="none", is_adversary=KINDS[name] == "adversary",
            )
            for name in KINDS
        },
    )  # fmt: skip


def metric_texts() -> dict[str, MetricText]:
    """Return the words of every metric of the screen."""
    return {
        name: MetricText(
            label=name.replace("_", " "), citation=f"On {name}", is_ranked=name in RANKED
        )
        for name in (*RANKED, *SHOWN)
    }


def screen_site(*, gamed: bool = True) -> SiteData:
    """Return the small site with two boards of the screen: one that ranks, one declared not to."""
    data = site()
    found = [screen_evidence(board, gamed=gamed) for board in (K562, DECLARED)]
    task = TaskText(label="Perturbation prediction", question="What does it do?", ranked=RANKED)
    entries = {name: entry(name) for name, kind in KINDS.items() if kind in {"baseline", "model"}}
    return replace(
        data,
        boards=[*data.boards, K562, DECLARED],
        standings={**data.standings, **{e.board.id: build_standings(e, None) for e in found}},
        datasets={
            **data.datasets,
            "screen": dataset("screen", suite="public_small", source="committed"),
        },
        entries=dict(sorted({**data.entries, **entries}.items())),
        tasks={**data.tasks, PERTURBATION: task},
        metrics={**data.metrics, **metric_texts()},
    )
