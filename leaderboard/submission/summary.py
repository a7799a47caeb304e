"""Score tables as a table in the terminal."""

import pandas as pd
from rich.console import Console
from rich.table import Table

from leaderboard import layout
from leaderboard.errors import TableError
from leaderboard.io import read_json, read_scores
from leaderboard.metrics import METRICS


def print_scores(suite: str) -> None:
    """Print one row a board, metric and entry: mean over ranked units, status and units."""
    paths = sorted((layout.DATA / "scores" / suite).glob("*/*.csv"))
    paths = [path for path in paths if not path.name.endswith(".failures.csv")]
    if not paths:
        raise TableError(f"data/scores/{suite}: no score table. Run `dvc repro` or `make real`.")
    lock = read_json(layout.BOARDS_LOCK)
    rows = pd.concat([read_scores(path) for path in paths])
    table = Table("board", "metric", "entry", "mean", "units", "status", title=suite)
    for (board, metric, entry), group in rows.groupby(["board", "metric", "entry"]):
        responders = lock.get(board, {}).get("responders")
        chosen = group if responders is None else group[group["unit"].isin(responders)]
        values = chosen.groupby("unit")["value"].mean().dropna()
        mean = f"{METRICS[str(metric)].display(values.mean()):.3f}" if len(values) else ""
        status = ", ".join(sorted(chosen["status"].unique()))
        table.add_row(str(board), str(metric), str(entry), mean, str(len(values)), status)
    Console(width=150).print(table)
