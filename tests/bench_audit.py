"""``make bench``: the search for copied cells in a million cells of 2,000 genes, from a file.

Cells are drawn from 40 types, each by itself; ``N_COPIES`` of them are replaced by exact copies of
others and as many by copies of which 1 % of the molecules differ (lost, and drawn anew from the
mean profile). The file is read a chunk of rows at a time, in a process of its own.
"""

import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import h5py
import numpy as np
import scipy.sparse as sp

from leaderboard.audit import find_copies
from leaderboard.io import open_h5ad

N_CELLS, N_GENES, N_TYPES, N_COPIES = 1_000_000, 2000, 40, 500
DEPTH = 200.0
PART = 20_000


def _profiles() -> np.ndarray:
    """Return the share of every gene in every type; few genes hold most of the counts."""
    rng = np.random.default_rng(0)
    base = rng.normal(0.0, 1.8, N_GENES)
    log_share = base + rng.normal(0.0, 0.4, (N_TYPES, N_GENES))
    share = np.exp(log_share)
    return np.asarray(share / share.sum(axis=1, keepdims=True))


def draw(n_cells: int, profiles: np.ndarray, rng: np.random.Generator) -> sp.csr_matrix:
    """Draw the molecules of some cells one by one: as fast as their number, not as the matrix."""
    kind = rng.integers(0, N_TYPES, n_cells)
    n_counts = rng.poisson(DEPTH * rng.lognormal(0.0, 0.4, n_cells)) + 50
    gene = np.empty(int(n_counts.sum()), dtype=np.int32)
    of_molecule = np.repeat(kind, n_counts)
    for number in range(N_TYPES):
        mine = np.flatnonzero(of_molecule == number)
        gene[mine] = _draw_genes(profiles[number], len(mine), rng)
    row = np.repeat(np.arange(n_cells), n_counts)
    ones = np.ones(len(gene), dtype=np.float32)
    return sp.coo_matrix((ones, (row, gene)), shape=(n_cells, N_GENES)).tocsr()


def _draw_genes(share: np.ndarray, n: int, rng: np.random.Generator) -> np.ndarray:
    edges = np.cumsum(share)
    return np.asarray(np.searchsorted(edges[:-1], rng.random(n) * edges[-1]), dtype=np.int32)


def _noised(counts: sp.csr_matrix, mean: np.ndarray, rng: np.random.Generator) -> sp.csr_matrix:
    """Return the cells with 1 % of their molecules lost and as many drawn anew."""
    dense = counts.toarray()
    lost = rng.binomial(dense.astype(np.int64), 0.01)
    anew = np.zeros_like(dense)
    for row, n in enumerate(lost.sum(axis=1)):
        np.add.at(anew[row], _draw_genes(mean, int(n), rng), 1.0)
    return sp.csr_matrix(dense - lost + anew)


def _parts(n_cells: int) -> Iterator[sp.csr_matrix]:
    """Yield the cells; the last ones are copies of the first."""
    profiles, rng = _profiles(), np.random.default_rng(1)
    n_drawn = n_cells - 2 * N_COPIES
    first = draw(min(PART, n_drawn), profiles, rng)
    yield first
    for start in range(PART, n_drawn, PART):
        yield draw(min(PART, n_drawn - start), profiles, rng)
    yield first[:N_COPIES]
    yield _noised(first[N_COPIES : 2 * N_COPIES], profiles.mean(axis=0), rng)


def write(path: Path, n_cells: int) -> int:
    """Write the cells as h5ad, a part at a time; return the number of stored values."""
    from anndata import AnnData
    from pandas import DataFrame

    obs = DataFrame(index=[f"c{i:07d}" for i in range(n_cells)])
    var = DataFrame(index=[f"G{i:04d}" for i in range(N_GENES)])
    nothing = np.empty(0, dtype=np.float32)
    rows = np.zeros(n_cells + 1, dtype=np.int64)
    empty = sp.csr_matrix((nothing, rows[:0], rows), shape=(n_cells, N_GENES))
    AnnData(empty, obs=obs, var=var).write_h5ad(path)
    pointers, n_values = [np.zeros(1, dtype=np.int64)], 0
    with h5py.File(path, "r+") as file:
        counts = file["X"]
        for name in ("data", "indices", "indptr"):
            del counts[name]
        for name, dtype in (("data", "f4"), ("indices", "i4")):
            counts.create_dataset(name, (0,), dtype, maxshape=(None,), chunks=(1 << 20,))
        for part in _parts(n_cells):
            for name in ("data", "indices"):
                counts[name].resize((n_values + part.nnz,))
                counts[name][n_values:] = getattr(part, name)
            pointers.append(part.indptr[1:].astype(np.int64) + n_values)
            n_values += part.nnz
        counts.create_dataset("indptr", data=np.concatenate(pointers))
    return n_values


def run(path: Path) -> None:
    """Search in this process and print what was found, in how long and how much memory, as JSON."""
    started = time.perf_counter()
    with open_h5ad(path) as adata:
        found = find_copies(adata.X, adata.obs_names, adata.var_names)
    seconds = time.perf_counter() - started
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024**2
    near = set(zip(found.near["one"], found.near["other"], strict=True))
    equal = {(str(first), str(cell)) for cell, first in found.equal.items() if cell != first}
    pairs = sorted(near | equal)
    sys.stdout.write(json.dumps({"seconds": seconds, "gb": peak, "pairs": pairs}) + "\n")


def main(n_cells: int) -> None:
    """Write the cells, search them and print the table; fail if what was planted is not found."""
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "cells.h5ad"
        n_values = write(path, n_cells)
        command = [sys.executable, "-m", "tests.bench_audit", str(path)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    found = json.loads(done.stdout.splitlines()[-1])
    start = n_cells - 2 * N_COPIES
    planted = [(f"c{i:07d}", f"c{start + i:07d}") for i in range(2 * N_COPIES)]
    pairs = {tuple(pair) for pair in found["pairs"]}
    n_equal, n_near = (len(pairs & set(p)) for p in (planted[:N_COPIES], planted[N_COPIES:]))
    others = len(pairs - set(planted))
    sys.stdout.write(
        f"copied cells among {n_cells:,} x {N_GENES:,} ({n_values / n_cells / N_GENES:.1%} not "
        f"zero): {found['seconds']:.1f} s, {n_cells / found['seconds']:,.0f} cells/s, peak "
        f"{found['gb']:.2f} GB; found {n_equal} of {N_COPIES} copies, {n_near} of {N_COPIES} with "
        f"1 % noise, {others} that were not planted\n"
    )
    if n_equal < N_COPIES or n_near < 0.98 * N_COPIES or others or found["gb"] >= 2.0:
        raise SystemExit("copied cells: too few found, false ones, or 2 GB and more")


if __name__ == "__main__":
    if len(sys.argv) == 2 and not sys.argv[1].isdigit():
        run(Path(sys.argv[1]))
    else:
        main(int(sys.argv[1]) if len(sys.argv) == 2 else N_CELLS)
