"""From fetch to score on the real files, where the mirror is: the numbers that the field knows."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from tests.project import ROOT

MIRROR = os.environ.get("HELDOUT_MIRROR", "")
pytestmark = [
    pytest.mark.mirror,
    pytest.mark.skipif(
        not MIRROR, reason="HELDOUT_MIRROR names no folder with the real files of public_small"
    ),
]


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Copy the tree without anything that a pipeline wrote."""
    root = tmp_path_factory.mktemp("real")
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard", "--", "*.yaml", "*.py", "*.json"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    ).stdout.splitlines()  # fmt: skip
    for name in listed:
        if (ROOT / name).is_file():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, root / name)
    return root


def _stage(root: Path, *arguments: str) -> None:
    environment = os.environ | {
        "PYTHONPATH": str(root),
        "MLFLOW_TRACKING_URI": f"sqlite:///{root / 'mlflow.db'}",
    }
    done = subprocess.run(
        [sys.executable, "-m", *arguments], cwd=root, env=environment, capture_output=True,
        text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]


def _scores(root: Path, dataset: str, entries: list[str]) -> pd.DataFrame:
    for stage in ("fetch", "validate", "split", "audit"):
        _stage(root, f"stages.{stage}", "public_small", dataset)
    findings = json.loads((root / f"data/audit/public_small/{dataset}.json").read_text())
    assert findings
    assert [f for f in findings if f["severity"] == "error"] == []
    tables = []
    for entry in entries:
        _stage(root, "stages.predict", "public_small", dataset, entry)
        _stage(root, "stages.score", "public_small", dataset, entry)
        tables.append(pd.read_csv(root / f"data/scores/public_small/{dataset}/{entry}.csv"))
    return pd.concat(tables)


def test_logistic_regression_names_the_cells_of_unseen_donors_as_an_independent_check_did(
    checkout: Path,
) -> None:
    scores = _scores(checkout, "kang_ctrl", ["logistic-regression"])
    grouped = scores[scores["board"] == "kang_ctrl-cell_type_annotation-donor"]
    means = grouped.groupby("metric")["value"].mean()
    assert means["accuracy"] == pytest.approx(0.94, abs=0.01)
    assert means["macro_f1"] == pytest.approx(0.83, abs=0.02)
    assert grouped["unit"].nunique() == 8


def test_the_interferon_response_of_an_unseen_donor_is_that_of_the_others(checkout: Path) -> None:
    entries = ["control-mean", "training-mean", "delta-shift"]
    scores = _scores(checkout, "kang_ifnb", entries)
    scores = scores[scores["board"] == "kang_ifnb-perturbation_prediction-donor"]
    defined = scores[(scores["metric"] == "nwmse") & (scores["status"] == "ok")]
    means = defined.groupby("entry")["value"].mean()
    assert means["control-mean"] == pytest.approx(0, abs=1e-9)
    assert means["training-mean"] < -3
    assert means["delta-shift"] < -3
    few = scores[(scores["metric"] == "nwmse") & (scores["status"] == "undefined")]
    assert set(few["unit"].astype(str)) == {"101", "107", "1039"}, (
        "donors with fewer than 100 control cells"
    )
