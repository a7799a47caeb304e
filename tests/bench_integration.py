"""Seconds for all integration metrics of one embedding, beside scib-metrics' Benchmarker's.

12,000 cells x 30 dimensions, ten types in four batches. Each side runs twice in a process of its
own, on two threads: the first run compiles, the second does not. Ours also keeps what jax compiled
in ``data/work/jax``, so a later process compiles less: it is run in two processes.
"""

import json
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from leaderboard.workers import limit_threads

N_CELLS, N_DIMS, N_TYPES, N_BATCHES, THREADS = 12_000, 30, 10, 4, 2
OURS, THEIRS = "ours", "scib-metrics: Benchmarker"


def simulate(seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return embedding, labels and batches of overlapping clouds."""
    rng = np.random.default_rng(seed)
    kind, batch = rng.choice(N_TYPES, N_CELLS), rng.choice(N_BATCHES, N_CELLS)
    places = rng.normal(0.0, 1.0, (N_TYPES, N_DIMS))[kind]
    places += rng.normal(0.0, 0.4, (N_BATCHES, N_DIMS))[batch]
    embedding = (places + rng.normal(0.0, 0.8, places.shape)).astype(np.float32)
    return embedding, np.char.add("t", kind.astype(str)), np.char.add("b", batch.astype(str))


def ours(embedding: np.ndarray, label: np.ndarray, batch: np.ndarray) -> int:
    """Score every metric in every batch and as a whole; return the number of values."""
    from leaderboard.embedding import Embedded
    from leaderboard.score import metrics_of
    from leaderboard.spec import IntegrationUnit

    cells = Embedded(
        embedding=embedding, label=label, batch=batch, isolated=tuple(np.unique(label)),
        batch_variance=0.5,
    )  # fmt: skip
    batches = [IntegrationUnit(cells=cells, own=batch == b) for b in np.unique(batch)]
    every = [IntegrationUnit(cells=cells, own=np.ones(len(batch), dtype=bool))]
    values = [
        metric.compute(unit)
        for metric in metrics_of("batch_integration")
        for unit in (every if metric.is_whole else batches)
    ]
    return len(values)


def theirs(embedding: np.ndarray, label: np.ndarray, batch: np.ndarray) -> int:
    """Run the Benchmarker with its defaults; return the number of values."""
    import pandas as pd
    from anndata import AnnData
    from scib_metrics.benchmark import Benchmarker

    adata = AnnData(
        np.zeros((len(label), 1), dtype=np.float32),
        obs=pd.DataFrame({"label": label, "batch": batch}, index=np.arange(len(label)).astype(str)),
        obsm={"e": embedding},
    )
    run = Benchmarker(
        adata, "batch", "label", ["e"], pre_integrated_embedding_obsm_key="e", n_jobs=THREADS,
        progress_bar=False,
    )  # fmt: skip
    run.benchmark()
    return int(run.get_results(clean_names=False).loc["e"].iloc[:-3].count())


SIDES: dict[str, Callable[..., int]] = {OURS: ours, THEIRS: theirs}


def run(side: str) -> None:
    """Time one side in this process, on two embeddings of one shape; print JSON."""
    limit_threads(THREADS)
    found: dict[str, Any] = {}
    for seed, name in enumerate(("first", "second")):
        data = simulate(seed)
        started, used = time.perf_counter(), time.process_time()
        found["values"] = SIDES[side](*data)
        found[name] = (time.perf_counter() - started, time.process_time() - used)
    sys.stdout.write(json.dumps(found) + "\n")


def main() -> None:
    """Run both sides and print the table."""
    sys.stdout.write(
        f"{'seconds':38s} {'first':>9s} {'cpu':>9s} {'second':>9s} {'cpu':>9s} values\n"
    )
    for side, note in ((OURS, ""), (OURS, ", once more"), (THEIRS, "")):
        command = [sys.executable, "-m", "tests.bench_integration", side]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        row = json.loads(done.stdout.splitlines()[-1])
        times = "".join(f" {seconds:9.1f}" for seconds in (*row["first"], *row["second"]))
        sys.stdout.write(f"{side + note:38s}{times} {row['values']:7d}\n")


if __name__ == "__main__":
    if len(sys.argv) == 2:
        run(sys.argv[1])
    else:
        main()
