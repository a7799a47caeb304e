"""Cells a second and peak memory of Geneformer's embedding, beside one cell at a time.

Random weights of the published V1 of 12 layers; cells of 100 to 2,048 genes, log-normal at 1,200.
Each side runs in a process of its own, by turns; the fastest round counts::

    python -m tests.bench_embedding_geneformer --threads 2
"""

import argparse
import json
import resource
import subprocess
import sys
import time
from typing import Any

import numpy as np

LOOP, OURS = "one cell at a time", "length buckets"
VOCABULARY, INNER = 25_426, 2
"""Tokens, and how much wider the feed-forward part is."""
PEAKS = {"H100 PCIe": (756e12, 51e12), "H100": (989e12, 67e12), "H200": (989e12, 67e12)}
"""FLOP/s of bfloat16 (dense) and float32 by NVIDIA's data sheets, by what a name contains."""


def lengths_of(options: argparse.Namespace) -> np.ndarray:
    """Return the number of genes of every cell."""
    drawn = np.random.default_rng(0).lognormal(np.log(1200), 0.6, options.cells)
    lengths: np.ndarray = np.clip(drawn, 100, 2048).astype(int) * options.tokens // 2048
    return lengths


def flop(lengths: np.ndarray, options: argparse.Namespace) -> float:
    """Return what all layers multiply and add for the real tokens, two a multiply-add."""
    linear = 2 * (4 + 2 * INNER) * options.hidden**2 * lengths
    return float(options.layers * np.sum(linear + 4 * options.hidden * lengths.astype(float) ** 2))


def run_one(options: argparse.Namespace) -> dict[str, Any]:
    """Embed all cells in this process; return seconds and peak memory in GB."""
    import torch

    from leaderboard.models._geneformer import Geneformer, Shape
    from leaderboard.models._geneformer_embed import Asking, embed_cells
    from leaderboard.models._geneformer_tokens import joined

    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    shape = Shape(
        vocab_size=VOCABULARY, hidden_size=options.hidden, num_hidden_layers=options.layers,
        num_attention_heads=options.heads, intermediate_size=INNER * options.hidden,
        max_position_embeddings=options.tokens,
    )  # fmt: skip
    network = Geneformer(shape).to(options.device)
    rng = np.random.default_rng(1)
    cells = [rng.choice(VOCABULARY - 2, n, replace=False) + 2 for n in lengths_of(options)]
    tokens = joined(cells, is_framed=False)
    size = 1 if options.side == LOOP else options.batch_tokens
    asking = Asking(layer=0, batch_tokens=size, mixed_precision=options.bf16)
    embed_cells(network, tokens.cells(np.arange(2)), asking)  # what is made once is not counted
    start = time.perf_counter()
    embed_cells(network, tokens, asking)
    seconds = time.perf_counter() - start
    if options.device == "cuda":
        gb, name = torch.cuda.max_memory_allocated() / 1e9, torch.cuda.get_device_name()
        return {"seconds": seconds, "gb": gb, "device": name}
    return {"seconds": seconds, "gb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6}


def measured(side: str, bf16: bool, arguments: list[str]) -> dict[str, Any]:
    """Run one side in a process of its own and return its record."""
    command = [sys.executable, "-m", "tests.bench_embedding_geneformer", "--side", side]
    command += [*arguments, *["--bf16"] * bf16]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{side} failed:\n{done.stderr[-2000:]}")
    return dict(json.loads(done.stdout.splitlines()[-1]))


def line(name: str, best: dict[str, Any], work: float, n_cells: int) -> str:
    """Return what is printed of one side: cells/s, peak memory, FLOP/s, share of the GPU's peak."""
    rate = work / best["seconds"]
    text = f"{name:30s} {n_cells / best['seconds']:10.3f} cells/s {best['gb']:8.2f} GB"
    text += f" {rate / 1e12:9.4f} TFLOP/s"
    if "device" not in best:
        return text
    peaks = next((p for part, p in PEAKS.items() if part in best["device"]), None)
    share = f" {rate / peaks['bf16' not in name]:6.1%} of the peak of" if peaks else " on"
    return f"{text}{share} {best['device']}"


def main() -> None:
    """Print a line a side, and the ratios to one cell at a time in float32."""
    import torch

    cuda = torch.cuda.is_available()
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    sizes = {"cells": 2048 if cuda else 32, "tokens": 2048, "layers": 12, "hidden": 512, "heads": 8}
    for name, size in {**sizes, "batch-tokens": None, "threads": 1, "rounds": 2}.items():
        parser.add_argument(f"--{name}", type=int, default=size)
    parser.add_argument("--device", default="cuda" if cuda else "cpu")
    parser.add_argument("--bf16", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--side", choices=[LOOP, OURS], help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.side:
        sys.stdout.write(json.dumps(run_one(options)) + "\n")
        return
    sides = [(s, b) for b in (False, True)[: 1 + (options.device == "cuda")] for s in (LOOP, OURS)]
    rounds = [{s: measured(*s, sys.argv[1:]) for s in sides} for _ in range(options.rounds)]
    best = {s: min((r[s] for r in rounds), key=lambda row: row["seconds"]) for s in sides}
    work, first = flop(lengths_of(options), options), best[sides[0]]
    for (side, bf16), row in best.items():
        name = f"{side}, {'bf16' if bf16 else 'float32'}"
        ratio = f" x{first['seconds'] / row['seconds']:.2f} cells/s, x{row['gb'] / first['gb']:.2f}"
        sys.stdout.write(line(name, row, work, options.cells) + ratio + " memory\n")


if __name__ == "__main__":
    main()
