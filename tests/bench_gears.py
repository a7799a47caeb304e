"""Seconds of an epoch and memory of our GEARS, beside cell-gears', on the same screen in one run.

500 genes x 5,000 cells, 40 perturbations, batches of 32, width 64, two threads; the same cells,
graphs, epochs and steps. Each side runs in a process of its own, by turns. cell-gears asks for
packages that do not fit ours, so it may have an environment of its own::

    python3 -m venv gears && gears/bin/pip install --no-deps cell-gears==0.1.2
    gears/bin/pip install torch==2.13.0 torch_geometric dcor scanpy jaxtyping 'pandas<3' \
        networkx tqdm scikit-learn
    CELL_GEARS_PYTHON=gears/bin/python python -m tests.bench_gears

It evaluates itself on every training and validation cell after an epoch; ours asks for the mean of
each validation perturbation. The fastest epoch is compared: what else runs can only slow one down.
Threads that wait give way (``OMP_WAIT_POLICY``), or two of them on a busy machine spin for minutes.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests import gears_ours, gears_screen, gears_theirs

ROOT = Path(__file__).parents[1]
EPOCHS, ROUNDS, BATCH_SIZE, HIDDEN, THREADS = 2, 2, 32, 64, 2
UPSTREAM = "cell-gears 0.1.2"
OURS = {"ours, as published": False, "ours, repaired": True}
PARTS = ("train", "train_cpu", "evaluation")
"""What a record has by epoch, in seconds."""
NEEDED = ("gears", "torch_geometric", "dcor", "scanpy")
SKIPPED = (
    "cell-gears: skipped, {python} has no {missing}. "
    "See tests/bench_gears.py for an environment, then name its Python in CELL_GEARS_PYTHON.\n"
)


def default_python() -> str:
    """Return the interpreter that is to import cell-gears."""
    return os.environ.get("CELL_GEARS_PYTHON", sys.executable)


def environment() -> dict[str, str]:
    """Return this process's environment, with threads that are few and do not spin."""
    threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), str(THREADS))
    return os.environ | threads | {"OMP_WAIT_POLICY": "PASSIVE"}


def missing(python: str) -> list[str]:
    """Return what an interpreter lacks of what cell-gears imports."""
    code = (
        "import sys; from importlib.util import find_spec; "
        "print(*[name for name in sys.argv[1:] if find_spec(name) is None])"
    )
    done = subprocess.run(
        [python, "-c", code, *NEEDED], capture_output=True, text=True, check=True
    )  # fmt: skip
    return done.stdout.split()


def run_one(side: str, folder: Path, epochs: int, device: str) -> dict[str, Any]:
    """Train one side in this process and return its record, peak memory (GB) included."""
    import torch

    torch.set_num_threads(THREADS)
    screen = gears_screen.read(folder)
    sizes: dict[str, Any] = {
        "epochs": epochs, "batch_size": BATCH_SIZE, "hidden": HIDDEN, "device": device,
    }  # fmt: skip
    if side == UPSTREAM:
        found = gears_theirs.fit(screen, **sizes)
    else:
        found = gears_ours.fit(screen, **sizes, is_repaired=OURS[side])
    found["gb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024**2
    if device != "cpu":
        found["device_gb"] = torch.cuda.max_memory_allocated() / 1024**3
    return found


def measured(side: str, python: str, folder: str, options: argparse.Namespace) -> dict[str, Any]:
    """Run one side in a process of its own and return its record."""
    command = [python, "-m", "tests.bench_gears", "--one", side, "--folder", folder]
    command += ["--epochs", str(options.epochs), "--device", options.device]
    done = subprocess.run(
        command, cwd=ROOT, env=environment(), capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise SystemExit(f"{side} failed in {python}:\n{done.stderr[-3000:]}")
    record: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return record


def pooled(records: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return one record of several rounds: all epochs, the largest memory, the last error."""
    found = dict(records[-1])
    for part in PARTS:
        found[part] = [seconds for record in records for seconds in record[part]]
    for part in ("gb", "device_gb"):
        if part in found:
            found[part] = max(record[part] for record in records)
    found["prepare"] = min(record["prepare"] for record in records)
    return found


def check_same(found: dict[str, dict[str, Any]]) -> None:
    """Refuse a comparison of sides that did not train on equally many cells and steps."""
    did = {side: (len(row["train"]), row["cells"], row["steps"]) for side, row in found.items()}
    if len(set(did.values())) > 1:
        raise SystemExit(f"Sides differ in (epochs, cells, steps of an epoch): {did}.")


COLUMNS = {
    "prepare": ("prepare", None, "8.1f"), "training": ("train", min, "9.2f"),
    "(slowest)": ("train", max, "9.2f"), "CPU": ("train_cpu", min, "7.2f"),
    "evaluation": ("evaluation", min, "10.3f"), "peak GB": ("gb", None, "8.2f"),
    "GPU GB": ("device_gb", None, "7.2f"), "validation MSE": ("error", None, "14.4f"),
}  # fmt: skip
"""By column: which value of a record, which of its epochs, how it is printed."""


def table(found: dict[str, dict[str, Any]]) -> list[str]:
    """Return the lines that are printed: seconds by part, memory, error, and ratios to theirs."""
    used = {name: its for name, its in COLUMNS.items() if its[0] in found[UPSTREAM]}
    widths = {name: int(its[2].partition(".")[0]) for name, its in used.items()}
    lines = [f"{'':20s}" + "".join(f" {name:>{width}s}" for name, width in widths.items())]
    for side, row in found.items():
        values = (
            f" {(pick(row[part]) if pick else row[part]):{form}}"
            for part, pick, form in used.values()
        )
        lines.append(f"{side:20s}" + "".join(values))
    return lines + [_ratios(side, found[side], found[UPSTREAM]) for side in OURS]


def _ratios(side: str, ours: dict[str, Any], theirs: dict[str, Any]) -> str:
    part = {name: min(ours[name]) / min(theirs[name]) for name in PARTS}
    return (
        f"{side} / {UPSTREAM}: training x{part['train']:.3f} (CPU x{part['train_cpu']:.3f}), "
        f"evaluation x{part['evaluation']:.4f}, epoch x{_epoch(ours) / _epoch(theirs):.3f}, "
        f"memory x{ours['gb'] / theirs['gb']:.2f}"
    )


def _epoch(row: dict[str, Any]) -> float:
    return float(min(row["train"]) + min(row["evaluation"]))


def compare(screen: gears_screen.Screen, options: argparse.Namespace) -> dict[str, dict[str, Any]]:
    """Run all sides by turns and return a record of each."""
    sides = [UPSTREAM, *OURS]
    records: dict[str, list[dict[str, Any]]] = {side: [] for side in sides}
    with tempfile.TemporaryDirectory() as folder:
        gears_screen.write(screen, Path(folder))
        for _ in range(options.rounds):
            for side in sides:
                python = options.python if side == UPSTREAM else sys.executable
                records[side].append(measured(side, python, folder, options))
    found = {side: pooled(records[side]) for side in sides}
    check_same(found)
    return found


def main() -> None:
    """Print the table, or a line that says why there is none."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--python", default=default_python(), help="interpreter with cell_gears")
    parser.add_argument("--epochs", type=int, default=EPOCHS)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--device", default="cpu", help="cpu or cuda, for both sides")
    parser.add_argument("--one", choices=[UPSTREAM, *OURS], help="run this side here, print JSON")
    parser.add_argument("--folder", type=Path, help="where --one reads the screen")
    options = parser.parse_args()
    if options.one:
        found = run_one(options.one, options.folder, options.epochs, options.device)
        sys.stdout.write(json.dumps(found) + "\n")
        return
    if lacking := missing(options.python):
        sys.stdout.write(SKIPPED.format(python=options.python, missing=", ".join(lacking)))
        return
    screen = gears_screen.simulate(0)
    sys.stdout.write("\n".join(table(compare(screen, options))) + "\n")
    sys.stdout.write(f"no change: validation MSE {gears_screen.unchanged_error(screen):.4f}\n")


if __name__ == "__main__":
    main()
