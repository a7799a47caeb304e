"""Cells a second and peak memory of our scGPT embeddings, beside a plain loop over cells.

Random weights of the published size, cells with numbers of genes that vary like real ones. Each
side makes the same tokens and embeddings in its own process; the fastest round counts. A GPU has a
side in bfloat16 too, with its share of the dense peak: matrix products of real tokens only.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy import sparse

from leaderboard.models._scgpt import ScGpt, Shape, random_network
from leaderboard.models._scgpt_embed import Pace, embed_cells, to_batch
from leaderboard.models._scgpt_tokens import Encoding, Panel, Vocabulary, build_panel, tokenise

LOOP, OURS, MIXED = "a cell at a time", "ours", "ours, bfloat16"
N_GENES = 5_000
PEAK = {"H100 PCIe": 756e12, "H100": 989e12, "H200": 989e12}  # dense bf16, NVIDIA's sheets
SIZES = {"cells": 128, "layers": 12, "dims": 512, "heads": 8, "tokens": 1200, "rounds": 2,
         "threads": 2}  # fmt: skip


def simulate(n_cells: int, seed: int = 0) -> Panel:
    """Return cells with log-normal numbers of expressed genes and geometric counts."""
    rng = np.random.default_rng(seed)
    shown = np.clip(rng.lognormal(np.log(700), 0.5, n_cells), 50, N_GENES).astype(int)
    genes = np.concatenate([rng.choice(N_GENES, n, replace=False) for n in shown])
    counts = rng.geometric(0.5, len(genes)).astype(np.float32)
    matrix = sparse.csr_matrix((counts, genes, np.r_[0, np.cumsum(shown)]), (n_cells, N_GENES))
    ids = {f"G{k}": k for k in range(N_GENES)} | {"<pad>": N_GENES, "<cls>": N_GENES + 1}
    vocabulary = Vocabulary(ids=ids, pad=N_GENES, cls=N_GENES + 1)
    return build_panel(matrix, list(ids)[:N_GENES], [f"c{k}" for k in range(n_cells)], vocabulary)


@torch.inference_mode()
def loop(network: ScGpt, panel: Panel, encoding: Encoding, _pace: Pace) -> np.ndarray:
    """Embed one cell after the other."""
    device, places = network.encoder.embedding.weight.device, []
    for row in range(len(panel.cell_ids)):
        state = network(to_batch(tokenise(panel, np.array([row]), encoding), device))[0, 0]
        places.append((state / state.norm()).cpu().numpy())
    return np.stack(places)


def flops(panel: Panel, encoding: Encoding, shape: Shape) -> float:
    """Return the matrix products of ``embed_cells``: of the last block only keys and values."""
    length, d = panel.lengths(encoding).astype(float), shape.dims
    block = length * (8 * d * d + 4 * d * shape.hidden) + 4 * length**2 * d
    return float((2 * d * d * length + (shape.layers - 1) * block + 4 * d * d * length).sum())


def run(side: str, options: argparse.Namespace) -> None:
    """Time one side in this process; print JSON."""
    torch.set_num_threads(options.threads)
    panel, encoding = simulate(options.cells), Encoding(max_tokens=options.tokens)
    size = {"dims": options.dims, "heads": options.heads, "layers": options.layers}
    shape = Shape(n_tokens=N_GENES + 2, pad=N_GENES, hidden=options.dims, **size)
    network = random_network(shape, 0).to(options.device).eval()
    embed, seconds = loop if side == LOOP else embed_cells, []
    for _ in range(options.rounds):
        started = time.perf_counter()
        places = embed(network, panel, encoding, Pace(is_mixed=side == MIXED))
        seconds.append(time.perf_counter() - started)
        np.save(options.folder / f"{side}.npy", places)
    found = {"rate": options.cells / min(seconds), "flops": flops(panel, encoding, shape)}
    found["gb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024**2
    if options.device == "cuda":
        found["gb"] = torch.cuda.max_memory_allocated() / 1024**3
    sys.stdout.write(json.dumps(found) + "\n")


def line(side: str, row: dict[str, Any], base: dict[str, Any], options: argparse.Namespace) -> str:
    """Return the printed line of one side."""
    truth, places = (np.load(options.folder / f"{name}.npy") for name in (LOOP, side))
    text = (f"{side:17s} {row['rate']:9.2f} cells/s  x{row['rate'] / base['rate']:.2f}  "
            f"peak {row['gb']:.2f} GB  x{row['gb'] / base['gb']:.2f}  "
            f"largest difference {np.abs(truth - places).max():.1e}")  # fmt: skip
    name = torch.cuda.get_device_name() if side == MIXED else ""
    for peak in [value for part, value in PEAK.items() if part in name][:1]:
        text += f"  {row['flops'] / options.cells * row['rate'] / peak:.1%} of {name}'s peak"
    return text


def main() -> None:
    """Run every side and print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    for name, size in SIZES.items():
        parser.add_argument(f"--{name}", type=int, default=size)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--one", choices=[LOOP, OURS, MIXED], help="run this side here, print JSON")
    parser.add_argument("--folder", type=Path, help="where --one leaves its embeddings")
    options = parser.parse_args()
    if options.one:
        run(options.one, options)
        return
    base: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        options.folder = Path(folder)
        for side in (LOOP, OURS, MIXED)[: 3 if options.device == "cuda" else 2]:
            command = [sys.executable, "-m", "tests.bench_embedding_scgpt", *sys.argv[1:]]
            command += ["--one", side, "--folder", folder]
            done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
            row = json.loads(done.stdout.splitlines()[-1])
            base = base or row
            sys.stdout.write(line(side, row, base, options) + "\n")


if __name__ == "__main__":
    main()
