"""A small project in a folder of its own: two tiny simulated datasets, four entries."""

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[1]
KEPT_ENTRIES = ("control-mean", "controls", "majority", "training-mean")
ATLAS: dict[str, Any] = {
    "seed": 3, "cells": 900, "genes": 150, "regulators": 20, "modules": 5, "proteins": 4,
    "donors": 4, "batches": 2, "rare_fraction": 0.02,
}  # fmt: skip
SCREEN: dict[str, Any] = {
    "seed": 5, "genes": 150, "regulators": 40, "modules": 4, "singles": 16, "doubles": 4,
    "cells_per_condition": 12, "control_cells": 120,
}  # fmt: skip
BOARDS = {
    "tiny_atlas": [
        {"task": "cell_type_annotation", "split": "donor", "unit": "donor_id"},
        {
            "task": "cell_type_annotation",
            "split": "random",
            "matches": "donor",
            "unit": "donor_id",
        },
    ],
    "tiny_screen": [
        {
            "task": "perturbation_prediction",
            "split": "perturbation",
            "unit": "perturbation",
            "context": "cell_type",
        }
    ],
}


@dataclass(frozen=True)
class Project:
    """A checkout that its test may change."""

    root: Path

    def run(self, *command: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run a command at the root, with the tools of this interpreter on the PATH."""
        environment = os.environ | {
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "DVC_NO_ANALYTICS": "1",
            "PYTHONPATH": str(self.root),
            "MLFLOW_TRACKING_URI": f"sqlite:///{self.root / 'mlflow.db'}",
        }
        environment.pop("HELDOUT_MIRROR", None)
        done = subprocess.run(
            command, cwd=self.root, env=environment, capture_output=True, text=True, check=False
        )
        if check and done.returncode:
            raise AssertionError(f"{command}: {done.returncode}\n{done.stdout}\n{done.stderr}")
        return done

    def stage(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run one stage as DVC would."""
        return self.run(sys.executable, "-m", *arguments, check=check)

    def repro(self, *targets: str) -> str:
        """Run ``dvc repro`` and return all that it printed."""
        done = self.run("dvc", "repro", *targets)
        return done.stdout + done.stderr

    def edit(self, path: str, old: str, new: str) -> None:
        """Replace text in a file."""
        file = self.root / path
        text = file.read_text(encoding="utf-8")
        assert old in text, f"{path} does not hold {old!r}"
        file.write_text(text.replace(old, new), encoding="utf-8")

    def commit(self) -> None:
        """Commit everything, lock files too."""
        self.run("git", "add", "--all")
        self.run("git", "-c", "user.name=t", "-c", "user.email=t@t", "commit", "-qm", "change")


def ran(output: str) -> list[str]:
    """Return the stages that a ``dvc repro`` ran."""
    lines = [line for line in output.splitlines() if line.startswith("Running stage '")]
    return [line.split("'")[1] for line in lines]


def make_project(root: Path) -> Project:
    """Copy the tree into ``root`` and shrink it to two tiny datasets; nothing is run."""
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    ).stdout.splitlines()  # fmt: skip
    for name in listed:
        if name.startswith("tests/") or not (ROOT / name).is_file():
            continue
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, root / name)
    _shrink(root)
    project = Project(root)
    project.run("git", "init", "-q")
    project.run("heldout", "sync")
    project.commit()
    return project


def _shrink(root: Path) -> None:
    for frozen in [*root.rglob("dvc.lock"), *(root / "data").glob("*.lock.json")]:
        frozen.unlink()
    for entry in (root / "leaderboard" / "entries").iterdir():
        if entry.is_dir() and entry.name not in KEPT_ENTRIES:
            shutil.rmtree(entry)
    for dataset in (root / "leaderboard" / "results").iterdir():
        if dataset.is_dir():
            shutil.rmtree(dataset)
    records = yaml.safe_load((root / "data/datasets.yaml").read_text(encoding="utf-8"))
    known = records["known_truth"]
    records = {
        "known_truth": {
            "tiny_atlas": tiny(known["sim_atlas"], ATLAS, ATLAS["cells"]),
            "tiny_screen": tiny(known["sim_screen"], SCREEN, 3 * (120 + 20 * 12)),
        },
        "public_small": {},
        "public_large": {},
    }
    write_yaml(root / "data/datasets.yaml", records)
    params = yaml.safe_load((root / "params.yaml").read_text(encoding="utf-8"))
    write_yaml(root / "params.yaml", params | {"boards": BOARDS})
    for name in KEPT_ENTRIES:
        path = root / "leaderboard/entries" / name / "entry.yaml"
        fields = yaml.safe_load(path.read_text(encoding="utf-8"))
        fields.pop("skip", None)
        write_yaml(path, fields)


def tiny(record: dict[str, Any], parameters: dict[str, Any], cells: int) -> dict[str, Any]:
    """Return a record with smaller parameters and what then must come out."""
    expected = {"cells": cells, "genes": parameters["genes"]}
    return record | {"parameters": record["parameters"] | parameters, "expected": expected}


def write_yaml(path: Path, value: object) -> None:
    """Write YAML, keys in the order given."""
    path.write_text(yaml.safe_dump(value, sort_keys=False), encoding="utf-8")
