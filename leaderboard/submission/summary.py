"""Score tables as a table in the terminal."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from rich.console import Console
from rich.table import Table

from leaderboard import layout
from leaderboard.config import read_board_locks
from leaderboard.errors import TableError
from leaderboard.inference.adversaries import RESOLUTION
from leaderboard.io import read_json, read_scores
from leaderboard.metrics import METRICS
from leaderboard.tasks import TASKS


def print_scores(suite: str) -> None:
    """Print one row a board, metric and entry: mean over ranked units, status and units."""
    paths = sorted((layout.DATA / "scores" / suite).glob("*/*.csv"))
    paths = [path for path in paths if not path.name.endswith(".failures.csv")]
    if not paths:
        raise TableError(f"data/scores/{suite}: no score table. Run `dvc repro` or `make real`.")
    lock = read_board_locks()
    rows = pd.concat([read_scores(path) for path in paths])
    table = Table("board", "metric", "entry", "mean", "units", "status", title=suite)
    for (board, metric, entry), group in rows.groupby(["board", "metric", "entry"]):
        responders = lock.get(str(board), {}).get("responders")
        chosen = group if responders is None else group[group["unit"].isin(responders)]
        values = chosen.groupby("unit")["value"].mean().dropna()
        mean = f"{METRICS[str(metric)].display(values.mean()):.3f}" if len(values) else ""
        status = ", ".join(sorted(chosen["status"].unique()))
        table.add_row(str(board), str(metric), str(entry), mean, str(len(values)), status)
    Console(width=150).print(table)


def print_adversaries() -> int:
    """Print how every adversary fares on every metric that it attacks, of every board.

    Means are taken from the standings' unit values anew. Returns the number of metrics that rank
    although an adversary is above the best simple baseline.
    """
    table = Table(
        "board", "metric", "ranks", "best adversary", "value", "best baseline", "value", "won by",
        title="built to game a score",
    )  # fmt: skip
    beaten = 0
    for standings in read_standings():
        for name in _attacked(standings):
            metric = standings["metrics"][name]
            sign = 1.0 if metric["higher_is_better"] else -1.0
            means, gamers, simple = _sides(standings["rows"], name)
            if not gamers or not simple:
                continue
            gamer = max(gamers, key=lambda e: sign * means[e])
            best = max(simple, key=lambda e: sign * means[e])
            winners = [g for g in gamers if sign * (means[g] - means[best]) > RESOLUTION]
            beaten += bool(winners) and metric["ranks"]
            shown = [f"{METRICS[name].display(means[e]):.3f}" for e in (gamer, best)]
            table.add_row(
                standings["board"]["id"], name, "yes" if metric["ranks"] else "no",
                gamer, shown[0], best, shown[1], ", ".join(winners) or "none: held",
            )  # fmt: skip
    Console(width=210).print(table)
    return beaten


def _attacked(standings: Mapping[str, Any]) -> list[str]:
    """Return the metrics of a board that adversaries are scored on."""
    if standings["board"]["is_random"]:
        return []
    every = TASKS[standings["board"]["task"]].shows_adversaries
    return [name for name in standings["metrics"] if every or METRICS[name].is_ranked]


def _sides(
    rows: Sequence[Mapping[str, Any]], metric: str
) -> tuple[dict[str, float], list[str], list[str]]:
    """Return the mean over units of every complete entry, the adversaries and the baselines."""
    rows = [r for r in rows if r["status"] == "complete" and "units" in r["metrics"][metric]]
    means = {r["entry"]: float(np.mean(list(r["metrics"][metric]["units"].values()))) for r in rows}
    gamers = [r["entry"] for r in rows if r["is_adversary"]]
    return means, gamers, [r["entry"] for r in rows if r["kind"] == "baseline"]


def print_trust() -> None:
    """Print which metrics that may rank each board trusts, and why not."""
    table = Table("board", "units", "metric", "floor", "ceiling", "ranks", "why not", title="trust")
    for standings in read_standings():
        units = [len(standings["constants"].get(k, ())) for k in ("responders", "weak", "noise")]
        counts = " / ".join(map(str, units)) if any(units) else ""
        for name, metric in standings["metrics"].items():
            if METRICS[name].is_ranked:
                edges = [f"{METRICS[name].display(metric[e]):.3f}" for e in ("floor", "ceiling")]
                why = metric["reason"] or "; ".join(standings["reasons"])
                state = "yes" if metric["ranks"] else "no"
                table.add_row(standings["board"]["id"], counts, name, *edges, state, why)
    Console(width=230).print(table)


def read_standings() -> list[dict[str, Any]]:
    """Read the standings of every board, in the order of ids."""
    paths = sorted(layout.STANDINGS.glob("*.json"))
    if not paths:
        raise TableError(
            f"{layout.STANDINGS}: no standings. Run `dvc repro` or `make leaderboard`."
        )
    return [read_json(path) for path in paths]
