"""``make bench``: our perturbation scores beside cell-eval2's, on one simulated screen, in one run.

300 perturbations x 200 cells x 5,000 genes and 2,000 controls. Each side reads the same files in a
process of its own, so that seconds and peak memory are comparable; ratios are ours over theirs.
"""

import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse as sp

from leaderboard.spec import CONTROL, Board

N_PERTURBATIONS, N_CELLS, N_GENES, N_CONTROLS = 300, 200, 5000, 2000
DEPTH = 4000.0
OURS = ("ours: means", "ours: means, gate", "ours: cells")
THEIRS = ("cell-eval2: expression", "cell-eval2: vcc2026")
EXPRESSION = "anndata"
"""cell-eval2's profile of the metrics that read no differential expression."""


def simulate(folder: Path) -> None:
    """Write ``real.npz`` and ``predicted.npz`` (counts) and ``obs.csv``, sorted by perturbation."""
    rng = np.random.default_rng(0)
    base = rng.normal(0.0, 1.5, N_GENES)
    real, predicted, names = [], [], []
    for k in range(-1, N_PERTURBATIONS):
        n = N_CONTROLS if k < 0 else N_CELLS
        shift = rng.normal(0.0, 0.8, N_GENES) * (rng.random(N_GENES) < 0.05) * (k >= 0)
        guess = shift + rng.normal(0.0, 0.2, N_GENES) * (k >= 0)
        real.append(_draw(rng, base + shift, n))
        predicted.append(real[-1] if k < 0 else _draw(rng, base + guess, n))
        names += [CONTROL if k < 0 else f"G{k:04d}"] * n
    sp.save_npz(folder / "real.npz", sp.vstack(real, format="csr"), compressed=False)
    sp.save_npz(folder / "predicted.npz", sp.vstack(predicted, format="csr"), compressed=False)
    pd.DataFrame({"perturbation": names}).to_csv(folder / "obs.csv", index=False)


def _draw(rng: np.random.Generator, log_rate: np.ndarray, n: int) -> sp.csr_matrix:
    rate = np.exp(log_rate)
    depth = DEPTH * rng.lognormal(0.0, 0.3, n)
    return sp.csr_matrix(rng.poisson(np.outer(depth, rate / rate.sum())).astype(np.float32))


def read(folder: Path) -> tuple[Any, Any]:
    """Return true and predicted cells as AnnData with the same ``obs``."""
    from anndata import AnnData

    names = pd.read_csv(folder / "obs.csv")["perturbation"].to_numpy(dtype=str)
    var = pd.DataFrame(index=[f"G{i:04d}" for i in range(N_GENES)])
    obs = pd.DataFrame({"perturbation": names}, index=[f"c{i:06d}" for i in range(len(names))])
    obs["line"] = "k"
    return tuple(
        AnnData(sp.load_npz(folder / f"{which}.npz"), obs=obs.copy(), var=var)
        for which in ("real", "predicted")
    )


def _board() -> tuple[Board, Callable[[Any], pd.DataFrame]]:
    board = Board(
        dataset="bench", task="perturbation_prediction", split="perturbation", unit="perturbation",
        context="line",
    )  # fmt: skip

    def roles(obs: pd.DataFrame) -> pd.DataFrame:
        """Test all perturbations in one fold; every other control cell is an input."""
        is_control = (obs["perturbation"] == CONTROL).to_numpy()
        half = np.where(np.arange(len(obs)) % 2, "control_input", "control_truth")
        return pd.DataFrame(
            {"cell_id": obs.index, "fold": 0, "role": np.where(is_control, half, "test")}
        )

    return board, roles


def ours(folder: Path, what: str) -> int:
    """Score the predicted cells' means (and cells); return the number of metrics with values."""
    from leaderboard.errors import UndefinedScoreError
    from leaderboard.score import metrics_of
    from leaderboard.tasks._gate import freeze
    from leaderboard.tasks._perturbation import key_of, unit_parts
    from leaderboard.tasks._statistics import fold_statistics, measure

    real, predicted = read(folder)
    board, roles_of = _board()
    roles = roles_of(real.obs)
    # A training perturbation is what the reference and the weights of small boards ask for.
    roles.loc[(real.obs["perturbation"] == "G0000").to_numpy(), "role"] = "train"
    if what == "ours: means, gate":
        return len(freeze(real, roles, board, metrics_of(board.task))["metrics"])
    fold = fold_statistics(measure(real, roles, board), 0)
    said = fold_statistics(measure(predicted, roles, board), 0)
    rows = fold.moments.rows("test")
    profiles = {key_of(fold.moments, row): said.moments.mean[row] for row in rows}
    extra: dict[Any, dict[str, Any]] = {
        key_of(fold.moments, row): {"predicted_variance": said.moments.variance[row]}
        for row in rows
    }
    if what == "ours: cells":
        extra = {(name, "k"): {"cells": s} for name, s in _samples(real, predicted, roles).items()}
    found = set()
    for part in unit_parts(fold.moments, profiles, rows, extra=extra):
        for metric in metrics_of(board.task):
            try:
                metric.compute(part)
                found.add(metric.name)
            except UndefinedScoreError:
                continue
    return len(found)


def _samples(real: Any, predicted: Any, roles: pd.DataFrame) -> dict[str, Any]:
    """Pair cells without a table of them: an entry's file is read into the same record."""
    from leaderboard.metrics._cells import CellSample, build_truths
    from leaderboard.metrics._panel import Panel

    totals = np.asarray(real.X.sum(axis=1)).ravel().astype(np.float64)
    cells = real.obs.assign(context="k", role=roles["role"].to_numpy()).reset_index(drop=True)
    truth = build_truths(
        real.X, cells, list(real.var_names), factors=totals, target_sum=DEPTH, targets=frozenset()
    )["k"]
    log_counts = predicted.X.copy()
    np.log1p(log_counts.data, out=log_counts.data)
    panel = Panel(truth=truth, log_counts=log_counts, rows=truth.rows)
    return {name: CellSample(perturbation=name, panel=panel) for name in truth.rows}


def theirs(folder: Path, what: str) -> int:
    """Run a profile of cell-eval2; return the number of metrics with values."""
    import cell_eval2

    real, predicted = read(folder)
    for adata in (real, predicted):
        adata.obs["target"] = adata.obs["perturbation"].replace(CONTROL, "non-targeting")
    config = cell_eval2.EvalConfig.from_preset("vcc2026")
    if what == "cell-eval2: expression":
        config = replace(cell_eval2.EvalConfig.from_preset("v2"), metrics=EXPRESSION)
    tidy = cell_eval2.compute_metrics(predicted, real, config=config)
    return len(set(tidy["metric"]))


def run(what: str, folder: Path) -> None:
    """Run one side in this process and print its numbers as JSON."""
    started = time.perf_counter()
    n = (theirs if what in THEIRS else ours)(folder, what)
    seconds = time.perf_counter() - started
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024**2
    sys.stdout.write(json.dumps({"seconds": seconds, "gb": peak, "metrics": n}) + "\n")


def main() -> None:
    """Run every side in turn and print the table."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        simulate(folder)
        found = {}
        sys.stdout.write(f"{'':26s} {'seconds':>8s} {'peak GB':>8s} {'metrics':>8s}\n")
        for what in (*OURS, *THEIRS):
            command = [sys.executable, "-m", "tests.bench", what, name]
            done = subprocess.run(command, capture_output=True, text=True, check=True)
            found[what] = json.loads(done.stdout.splitlines()[-1])
            row = found[what]
            sys.stdout.write(
                f"{what:26s} {row['seconds']:8.1f} {row['gb']:8.2f} {row['metrics']:8d}\n"
            )
        for one, other in (
            ("ours: means", "cell-eval2: expression"),
            ("ours: cells", "cell-eval2: vcc2026"),
        ):
            seconds = found[one]["seconds"] / found[other]["seconds"]
            memory = found[one]["gb"] / found[other]["gb"]
            sys.stdout.write(f"{one} / {other}: time x{seconds:.2f}, memory x{memory:.2f}\n")


if __name__ == "__main__":
    if len(sys.argv) == 3:
        run(sys.argv[1], Path(sys.argv[2]))
    else:
        main()
