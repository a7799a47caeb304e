"""A tree with one simulated board: planted scores, recomputed ones and a run of the full tier."""

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml

from leaderboard import layout
from leaderboard.cases import split_name
from leaderboard.config import Params, read_board_locks, read_params
from leaderboard.inference.collect import collect
from leaderboard.inference.evidence import BoardEvidence
from leaderboard.io import FAILURE_COLUMNS, write_failures, write_json, write_scores
from leaderboard.spec import Board
from leaderboard.submission import publish
from leaderboard.submission.entry import SIMULATED
from tests.project import ROOT, write_yaml

DATASET = "sim_atlas"
NET = "net"
LEVELS = {"majority": 0.2, "logistic-regression": 0.7, NET: 0.9}
UNITS = [f"D{k}" for k in range(8)]
COMMIT = "c" * 40
PREDICTION = b"what the run of the full tier predicted"


def make_tree(root: Path) -> Board:
    """Write the tree into ``root``, which is the working directory; return its board."""
    for name in ("data/datasets.yaml", "params.yaml"):
        (root / name).parent.mkdir(exist_ok=True)
        shutil.copy2(ROOT / name, root / name)
    params = yaml.safe_load((root / "params.yaml").read_text(encoding="utf-8"))
    line = {"task": "cell_type_annotation", "split": "donor", "unit": "donor_id"}
    write_yaml(root / "params.yaml", params | {"boards": {DATASET: [line]}})
    board = read_params().boards_of(DATASET)[0]
    write_entry("majority")
    write_entry("logistic-regression")
    write_entry(NET, like="torch-mlp", tier="full", name="Net")
    write_entry("controls")
    write_lock(board)
    write_json(layout.audit(SIMULATED, DATASET), [])
    write_json(layout.duplicates(SIMULATED, DATASET), {"findings": []})
    for name in ("majority", "logistic-regression"):
        write_run(name, SIMULATED, table(board, name, LEVELS[name]))
    write_run("controls", SIMULATED, table(board, "constant", 0.1))
    write_run(NET, f"full/{SIMULATED}", table(board, NET, LEVELS[NET]))
    write_full_run(board)
    return board


def write_entry(folder: str, *, like: str = "", **changes: Any) -> None:
    source = ROOT / layout.ENTRIES / (like or folder) / "entry.yaml"
    fields = yaml.safe_load(source.read_text(encoding="utf-8")) | changes
    (layout.ENTRIES / folder).mkdir(parents=True, exist_ok=True)
    write_yaml(layout.ENTRIES / folder / "entry.yaml", fields)


def write_lock(board: Board, floor: float = 0.1) -> None:
    """Freeze split and constants, as the controls find them."""
    frozen = {
        "classes": ["A", "B"],
        "class_units": {unit: ["A", "B"] for unit in UNITS},
        "metrics": {
            metric: {
                "floor": floor, "ceiling": 1.0, "ceiling_low": 1.0, "ceiling_high": 1.0,
                "ceiling_kind": "true labels", "trusted": True, "reason": "",
            }
            for metric in ("macro_f1", "mae")
        },
    }  # fmt: skip
    write_json(layout.SPLITS_LOCK, {DATASET: {split_name(board): "5" * 64}})
    write_json(layout.board_lock(DATASET), {board.id: frozen})
    write_json(layout.constants(SIMULATED, DATASET), {board.id: frozen})


def table(board: Board, name: str, level: float, n: int = 100) -> pd.DataFrame:
    """Return score rows whose mean over units is ``level``."""
    noise = np.random.default_rng(6).normal(0, 0.02, len(UNITS))
    return pd.DataFrame([
        {
            "entry": name, "board": board.id, "fold": k, "seed": 0, "metric": "macro_f1",
            "unit": unit, "stratum": "all", "value": level + noise[k] - noise.mean(), "n": n,
            "status": "ok", "reason": "",
        }
        for k, unit in enumerate(UNITS)
    ])  # fmt: skip


def write_run(name: str, under: str, scores: pd.DataFrame) -> None:
    """Write what the stage ``score`` leaves."""
    fields = yaml.safe_load((layout.ENTRIES / name / "entry.yaml").read_text(encoding="utf-8"))
    known = {"plugins": {}, "baseline": False, "exposure": {}}
    write_json(layout.entry_facts(under, DATASET, name), known | fields)
    write_scores(layout.scores(under, DATASET, name), scores)
    board = scores["board"].iloc[0]
    failures = [
        (name, board, k, 0, "confusion", unit, "A", 0, "B", 7, 20) for k, unit in enumerate(UNITS)
    ]
    path = layout.failures(under, DATASET, name)
    write_failures(path, pd.DataFrame(failures, columns=FAILURE_COLUMNS))


def write_full_run(board: Board, commit: str = COMMIT) -> None:
    """Write what the stage ``predict`` of the full tier leaves."""
    under = f"full/{SIMULATED}"
    folder = layout.predictions(under, DATASET, NET) / board.id
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "fold-0-seed-0.parquet").write_bytes(PREDICTION)
    record = {
        "entry": NET, "tags": {"git_commit": commit}, "mlflow_run": "f" * 32,
        "boards": {board.id: {"folds": {"fold-0-seed-0": {}}}}, "seconds": 3600.0,
        "peak_memory_mb": 2000, "device": "cuda", "threads": 2,
    }  # fmt: skip
    write_json(layout.run(under, DATASET, NET), record)


def publish_all(monkeypatch: Any) -> tuple[list[str], list[str]]:
    """Publish; return what was said and which pipelines had to be up to date."""
    asked: list[str] = []
    monkeypatch.setattr(publish, "_check_up_to_date", lambda target, _: asked.append(target))
    return publish.publish(), asked


def collected(params: Params | None = None) -> Mapping[str, BoardEvidence]:
    known = sorted(path.name for path in layout.ENTRIES.iterdir())
    found = collect(params or read_params(), read_board_locks(), known)
    return {item.board.id: item for item in found}
