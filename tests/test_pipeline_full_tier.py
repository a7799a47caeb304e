"""An entry of the full tier on simulated data, by DVC: in its own run, never in the default one."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.project import Project, make_project, ran, write_yaml

pytestmark = pytest.mark.slow

ENTRY = "slow-mean"
PIPELINE = f"leaderboard/entries/{ENTRY}/dvc.yaml"
MODEL = "leaderboard/models/training_mean.py"
STANDINGS = "data/standings/tiny_screen-perturbation_prediction-perturbation.json"
PUBLISH = """
from leaderboard.command import run
from leaderboard.submission import publish
publish.PIPELINE = "dvc.yaml:audit@tiny_screen"  # there are no real suites here
run(lambda: print(publish.publish()), [])
"""


def add_entry(project: Project) -> None:
    folder = project.root / "leaderboard/entries"
    fields = yaml.safe_load((folder / "training-mean/entry.yaml").read_text(encoding="utf-8"))
    (folder / ENTRY).mkdir()
    write_yaml(folder / ENTRY / "entry.yaml", fields | {"name": "Slow mean", "tier": "full"})
    project.run("heldout", "sync")


def rows(project: Project) -> dict[str, dict[str, Any]]:
    found = json.loads((project.root / STANDINGS).read_text(encoding="utf-8"))
    return {row["entry"]: row for row in found["rows"]}


def test_the_full_tier_is_run_on_demand_published_and_shown_by_every_later_default_run(
    tmp_path: Path,
) -> None:
    project = make_project(tmp_path)
    add_entry(project)
    project.run("heldout", "freeze", "--all")
    project.commit()
    default = ran(project.repro())
    assert "rank" in default
    assert not [stage for stage in default if ENTRY in stage]
    assert ENTRY not in rows(project)

    own = ran(project.repro(PIPELINE))
    assert [s.rpartition(":")[2] for s in own] == ["predict-tiny_screen", "score-tiny_screen"]
    project.commit()
    done = project.run(sys.executable, "-c", PUBLISH)
    assert done.stdout.strip() == f"['leaderboard/results/tiny_screen: {ENTRY}']"
    assert ran(project.repro()) == ["rank", "render"]
    shown = rows(project)
    assert shown[ENTRY]["source"] == "committed"
    assert shown["training-mean"]["source"] == "recomputed"
    metrics = {name: cell["value"] for name, cell in shown[ENTRY]["metrics"].items()}
    assert metrics == {n: c["value"] for n, c in shown["training-mean"]["metrics"].items()}

    # Only the machine that ran it can tell that its code has changed.
    text = (project.root / MODEL).read_text(encoding="utf-8")
    (project.root / MODEL).write_text(f"{text}\n# another line\n", encoding="utf-8")
    stale = project.run(sys.executable, "-c", PUBLISH, check=False)
    assert stale.returncode == 1
    assert f"{PIPELINE} is not up to date" in stale.stderr
    assert "Run `make full`" in stale.stderr
    again = ran(project.repro())
    assert not [stage for stage in again if ENTRY in stage]
    assert [stage for stage in again if "training-mean" in stage]
    assert rows(project)[ENTRY]["source"] == "committed"
