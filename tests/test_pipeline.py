"""The whole pipeline, in clones of their own: what runs again, what stops, what recovers."""

import http.server
import json
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path

import anndata
import numpy as np
import pandas as pd
import pytest
import yaml

from tests.project import ATLAS, Project, make_project, ran, tiny, write_yaml

pytestmark = pytest.mark.slow

SUITE_STAGES = {"duplicates", "rank", "render"}
RAW = "data/raw/known_truth/tiny_atlas/counts.h5ad"
CLEAN = "data/clean/known_truth/tiny_atlas.h5ad"
FLAKY_MODEL = '''
"""Does what the file `behaviour` says, on the third fold."""

import time
from pathlib import Path

from leaderboard.models._inputs import annotation, test_cells
from leaderboard.spec import Model

calls = []


class Flaky:
    def annotate(self, inputs, run):
        calls.append(run)
        behaviour = Path("behaviour").read_text(encoding="utf-8") if len(calls) == 3 else ""
        if behaviour == "sleep":
            Path("sleeping").touch()
            time.sleep(600)
        if behaviour == "raise":
            raise ValueError("this model\\ndoes not like fold 2")
        if behaviour == "memory":
            raise MemoryError("no more memory")
        return annotation(inputs, ["A1"] * int(test_cells(inputs).sum()))


MODEL = Model(name="flaky", label="Flaky", tasks=("cell_type_annotation",), load=Flaky)
'''


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """Give a project with frozen splits, reproduced once."""
    project = make_project(tmp_path_factory.mktemp("project"))
    project.run("heldout", "freeze", "--all")
    project.repro()
    project.commit()
    return project


@pytest.fixture
def spoilt_raw(project: Project) -> Iterator[Callable[[Callable[[anndata.AnnData], None]], str]]:
    """Spoil the raw counts, run validate without its old output, and return its message."""
    raw, clean = project.root / RAW, project.root / CLEAN
    kept = raw.read_bytes(), clean.read_bytes()

    def spoil(change: Callable[[anndata.AnnData], None]) -> str:
        adata = anndata.read_h5ad(raw)
        change(adata)
        raw.unlink()
        adata.write_h5ad(raw)
        clean.unlink()
        done = project.stage("stages.validate", "known_truth", "tiny_atlas", check=False)
        assert done.returncode == 1
        assert not clean.exists(), "a broken promise leaves no output"
        assert "Traceback" not in done.stderr
        return done.stderr

    yield spoil
    raw.unlink()
    raw.write_bytes(kept[0])
    clean.unlink(missing_ok=True)
    clean.write_bytes(kept[1])


def test_a_second_run_is_up_to_date_and_runs_nothing(project: Project) -> None:
    output = project.repro()
    assert ran(output) == []
    assert "up to date" in output


def test_changing_a_metric_reruns_score_rank_and_render_only(project: Project) -> None:
    path = "leaderboard/metrics/accuracy.py"
    text = (project.root / path).read_text(encoding="utf-8")
    (project.root / path).write_text(text + "\n# another line\n", encoding="utf-8")
    stages = ran(project.repro())
    assert {re.split(r"[:@-]", s.rpartition(":")[2])[0] for s in stages} <= {
        "score", "rank", "render",
    }  # fmt: skip
    assert sum("score-" in s for s in stages) == 5
    (project.root / path).write_text(text, encoding="utf-8")
    project.repro()


def test_adding_a_simulated_dataset_runs_its_stages_and_what_depends_on_them(
    project: Project,
) -> None:
    datasets, params = project.root / "data/datasets.yaml", project.root / "params.yaml"
    before = datasets.read_text(encoding="utf-8"), params.read_text(encoding="utf-8")
    records = yaml.safe_load(before[0])
    third = records["known_truth"]["tiny_atlas"]
    records["known_truth"]["tiny_third"] = tiny(third, ATLAS | {"seed": 4}, int(ATLAS["cells"]))
    write_yaml(datasets, records)
    values = yaml.safe_load(before[1])
    values["boards"]["tiny_third"] = values["boards"]["tiny_atlas"][:1]
    write_yaml(params, values)
    project.run("heldout", "sync")
    project.run("heldout", "freeze", "tiny_third")
    stages = ran(project.repro())
    assert stages
    others = [s for s in stages if "tiny_third" not in s and s not in SUITE_STAGES]
    assert others == []
    assert (project.root / "data/standings/tiny_third-cell_type_annotation-donor.json").is_file()
    project.run("git", "checkout", "-q", "--", ".")
    for left in project.root.glob("data/*/known_truth/tiny_third*"):
        shutil.rmtree(left) if left.is_dir() else left.unlink()
    project.repro()


def test_a_clean_clone_gives_score_tables_equal_in_bytes(project: Project, tmp_path: Path) -> None:
    project.run("git", "clone", "-q", str(project.root), str(tmp_path / "clone"))
    clone = Project(tmp_path / "clone")
    assert not (clone.root / "data/scores").exists()
    clone.repro("rank")
    tables = sorted((project.root / "data/scores").rglob("*.csv"))
    assert len(tables) == 10, "a score and a failure table per entry and dataset"
    cases = [f for f in (project.root / "data/cases").rglob("*") if f.is_file()]
    assert cases
    for file in tables + cases:
        twin = clone.root / file.relative_to(project.root)
        assert twin.read_bytes() == file.read_bytes(), file.name


def test_a_second_person_pulls_cases_and_predictions_instead_of_recomputing(
    project: Project, tmp_path: Path
) -> None:
    project.run("dvc", "remote", "add", "--default", "shared", str(tmp_path / "remote"))
    project.run("dvc", "push")
    project.commit()
    project.run("git", "clone", "-q", str(project.root), str(tmp_path / "second"))
    second = Project(tmp_path / "second")
    second.run("dvc", "pull", "--allow-missing")
    assert list((second.root / "data/cases").rglob("inputs.h5ad"))
    assert list((second.root / "data/predictions").rglob("*.parquet"))
    stages = ran(second.repro())
    assert stages in ([], ["render"]), "render is not cached, all else is pulled"


def test_a_duplicated_cell_id_is_named(spoilt_raw: Callable[..., str]) -> None:
    def change(adata: anndata.AnnData) -> None:
        names = adata.obs_names.to_numpy().copy()
        names[1] = names[0]
        adata.obs_names = pd.Index(names)

    message = spoilt_raw(change)
    assert "tiny_atlas/obs: cell_id" in message
    assert "2 of 900 rows" in message


def test_a_nan_count_is_named(spoilt_raw: Callable[..., str]) -> None:
    def change(adata: anndata.AnnData) -> None:
        adata.X.data[5] = np.nan

    message = spoilt_raw(change)
    assert "tiny_atlas/counts: n_nan" in message


def test_a_fractional_count_is_named(spoilt_raw: Callable[..., str]) -> None:
    def change(adata: anndata.AnnData) -> None:
        adata.X.data[5] = 1.5

    message = spoilt_raw(change)
    assert "tiny_atlas/counts: n_fractional" in message


def test_a_missing_donor_is_named(spoilt_raw: Callable[..., str]) -> None:
    def change(adata: anndata.AnnData) -> None:
        adata.obs["donor_id"] = adata.obs["donor_id"].astype(object)
        adata.obs.iloc[3, adata.obs.columns.get_loc("donor_id")] = None

    message = spoilt_raw(change)
    assert "tiny_atlas/obs: donor_id" in message
    assert "1 of 900 rows" in message


def test_a_changed_donor_label_stops_at_the_frozen_split(project: Project) -> None:
    clean, splits = project.root / CLEAN, project.root / "data/splits/known_truth/tiny_atlas"
    kept = clean.read_bytes()
    adata = anndata.read_h5ad(clean)
    donors = adata.obs["donor_id"].astype(str).to_numpy(dtype=object)
    donors[0] = "D02" if donors[0] != "D02" else "D03"
    adata.obs["donor_id"] = donors
    clean.unlink()
    adata.write_h5ad(clean)
    files = {f.name: f.stat().st_mtime_ns for f in splits.iterdir()}
    done = project.stage("stages.split", "known_truth", "tiny_atlas", check=False)
    clean.unlink()
    clean.write_bytes(kept)
    assert done.returncode == 1
    assert "no longer matches its frozen digest: expected" in done.stderr
    assert "heldout freeze --all" in done.stderr
    assert {f.name: f.stat().st_mtime_ns for f in splits.iterdir()} == files


def test_a_split_that_does_not_match_its_digest_stops_the_pipeline(project: Project) -> None:
    lock = project.root / "data/splits.lock.json"
    kept = lock.read_text(encoding="utf-8")
    digests = json.loads(kept)
    digests["tiny_atlas"]["cell_type_annotation-donor"] = "0" * 64
    lock.write_text(json.dumps(digests), encoding="utf-8")
    done = project.run("dvc", "repro", check=False)
    assert done.returncode != 0
    assert "SplitError: tiny_atlas-cell_type_annotation-donor" in done.stderr + done.stdout
    lock.write_text(kept, encoding="utf-8")
    project.repro()


def test_an_edited_score_constant_stops_rank(project: Project) -> None:
    lock = project.root / "data/boards.lock/tiny_atlas.json"
    kept = lock.read_text(encoding="utf-8")
    boards = json.loads(kept)
    boards["tiny_atlas-cell_type_annotation-donor"]["metrics"]["macro_f1"]["floor"] += 0.01
    lock.write_text(json.dumps(boards), encoding="utf-8")
    done = project.stage("stages.rank", check=False)
    lock.write_text(kept, encoding="utf-8")
    assert done.returncode == 1
    assert "FreezeError: tiny_atlas-cell_type_annotation-donor" in done.stderr
    assert "metrics.macro_f1.floor" in done.stderr


def test_an_unknown_expectation_type_in_a_contract_is_refused(project: Project) -> None:
    path = "data/contracts/obs.json"
    old, new = '"expect_column_values_to_be_unique"', '"expect_column_values_to_be_uniqe"'
    project.edit(path, old, new)
    done = project.stage("stages.validate", "known_truth", "tiny_atlas", check=False)
    project.edit(path, new, old)
    assert done.returncode == 1
    assert "ContractError" in done.stderr
    assert "expect_column_values_to_be_uniqe" in done.stderr


@pytest.fixture
def flaky(project: Project) -> Iterator[Project]:
    """Add an entry whose model does what the file ``behaviour`` says."""
    # Another comment every time: DVC's run cache would bring back what an equal model wrote.
    model = f"{FLAKY_MODEL}\n# {os.urandom(8).hex()}\n"
    (project.root / "leaderboard/models/flaky.py").write_text(model, encoding="utf-8")
    folder = project.root / "leaderboard/entries/flaky"
    shutil.copytree(project.root / "leaderboard/entries/majority", folder)
    for lock in folder.glob("dvc.*"):
        lock.unlink()
    entry = yaml.safe_load((folder / "entry.yaml").read_text(encoding="utf-8"))
    write_yaml(folder / "entry.yaml", entry | {"model": "flaky", "name": "Flaky"})
    (project.root / "behaviour").write_text("", encoding="utf-8")
    project.run("heldout", "sync")
    yield project
    shutil.rmtree(folder)
    for path in ("leaderboard/models/flaky.py", "behaviour", "sleeping"):
        (project.root / path).unlink(missing_ok=True)
    for left in project.root.glob("data/*/known_truth/tiny_atlas/flaky*"):
        shutil.rmtree(left) if left.is_dir() else left.unlink()
    shutil.rmtree(project.root / "data/work", ignore_errors=True)
    project.repro()


def test_a_model_that_raises_is_a_failed_result_and_the_pipeline_goes_on(flaky: Project) -> None:
    (flaky.root / "behaviour").write_text("raise", encoding="utf-8")
    flaky.repro("rank")
    scores = pd.read_csv(flaky.root / "data/scores/known_truth/tiny_atlas/flaky.csv")
    failed = scores[scores["board"] == "tiny_atlas-cell_type_annotation-donor"]
    assert set(failed["status"]) == {"failed"}
    assert failed["value"].isna().all()
    assert set(failed["reason"]) == {"fold-2-seed-0: ValueError: this model does not like fold 2"}
    path = flaky.root / "data/standings/tiny_atlas-cell_type_annotation-donor.json"
    rows = {row["entry"]: row for row in json.loads(path.read_text(encoding="utf-8"))["rows"]}
    assert rows["flaky"]["status"] == "failed"
    cell = rows["flaky"]["metrics"]["macro_f1"]
    assert cell["rank_low"] is None
    assert cell["value"] <= rows["majority"]["metrics"]["macro_f1"]["value"]


def test_a_model_that_runs_out_of_memory_stops_without_output(flaky: Project) -> None:
    (flaky.root / "behaviour").write_text("memory", encoding="utf-8")
    target = "leaderboard/entries/flaky/dvc.yaml"
    done = flaky.run("dvc", "repro", target, check=False)
    assert done.returncode != 0
    assert "MemoryError" in done.stderr + done.stdout
    assert not (flaky.root / "data/predictions/known_truth/tiny_atlas/flaky").exists()
    assert not (flaky.root / "data/runs/known_truth/tiny_atlas/flaky.json").exists()


def test_a_killed_run_leaves_nothing_half_written_and_resumes(flaky: Project) -> None:
    (flaky.root / "behaviour").write_text("sleep", encoding="utf-8")
    environment = os.environ | {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(flaky.root),
        "MLFLOW_TRACKING_URI": f"sqlite:///{flaky.root / 'mlflow.db'}",
    }
    target = "leaderboard/entries/flaky/dvc.yaml"
    running = subprocess.Popen(
        ["dvc", "repro", target], cwd=flaky.root, env=environment, start_new_session=True,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    until = time.monotonic() + 120
    while not (flaky.root / "sleeping").exists() and time.monotonic() < until:
        time.sleep(0.2)
    os.killpg(running.pid, signal.SIGKILL)
    running.wait()
    assert not (flaky.root / "data/predictions/known_truth/tiny_atlas/flaky").exists()
    kept = sorted((flaky.root / "data/work/predict").rglob("*seed-0.parquet.json"))
    assert len(kept) == 2, "the two folds that were finished"
    first = json.loads(kept[0].read_text(encoding="utf-8"))["mlflow_run"]

    (flaky.root / "behaviour").write_text("", encoding="utf-8")
    flaky.repro(target)
    record = json.loads(
        (flaky.root / "data/runs/known_truth/tiny_atlas/flaky.json").read_text(encoding="utf-8")
    )
    folds = record["boards"]["tiny_atlas-cell_type_annotation-donor"]["folds"]
    assert folds["fold-0-seed-0"]["mlflow_run"] == first, "a finished fold is not run again"
    assert not list((flaky.root / "data/work").rglob("*.parquet"))
    status = flaky.run(
        sys.executable, "-c",
        "import mlflow; c = mlflow.MlflowClient(); "
        "e = [x.experiment_id for x in c.search_experiments()]; "
        "print([r.info.status for r in c.search_runs(e, \"tags.interrupted = 'true'\")])",
    ).stdout  # fmt: skip
    assert "['KILLED']" in status


def _limit_file_size() -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))


@pytest.mark.parametrize("kind", ["simulated", "copied"])
def test_a_full_disk_during_fetch_is_one_message_and_leaves_no_file(
    project: Project, tmp_path: Path, kind: str
) -> None:
    content = os.urandom(200_000)
    digest = sha256(content).hexdigest()
    (tmp_path / digest).write_bytes(content)
    datasets = project.root / "data/datasets.yaml"
    kept = datasets.read_text(encoding="utf-8")
    records = yaml.safe_load(kept)
    template = {k: v for k, v in records["known_truth"]["tiny_atlas"].items() if k != "parameters"}
    file = {"url": "https://example.org/big", "sha256": digest, "bytes": len(content)}
    records["public_small"]["copied"] = template | {"files": {"big": file}}
    records["known_truth"]["simulated"] = records["known_truth"]["tiny_atlas"]
    write_yaml(datasets, records)
    suite = "known_truth" if kind == "simulated" else "public_small"
    done = subprocess.run(
        [sys.executable, "-m", "stages.fetch", suite, kind], cwd=project.root,
        env=os.environ | {"HELDOUT_MIRROR": str(tmp_path), "PYTHONPATH": str(project.root)},
        preexec_fn=_limit_file_size, capture_output=True, text=True, check=False,
    )  # fmt: skip
    datasets.write_text(kept, encoding="utf-8")
    assert done.returncode == 1
    assert done.stderr.count("ERROR") == 1
    assert "File too large" in done.stderr
    assert "Traceback" not in done.stderr
    left = [f for f in (project.root / "data/raw" / suite).rglob("*") if kind in str(f)]
    assert left == []


def test_a_tampered_file_is_refused_with_expected_got_and_cause(
    project: Project, tmp_path: Path
) -> None:
    digest = sha256(b"the true bytes").hexdigest()
    (tmp_path / digest).write_bytes(b"other bytes!!!")
    datasets = project.root / "data/datasets.yaml"
    kept = datasets.read_text(encoding="utf-8")
    records = yaml.safe_load(kept)
    template = {k: v for k, v in records["known_truth"]["tiny_atlas"].items() if k != "parameters"}
    file = {"url": "https://example.org/file", "sha256": digest, "bytes": 14}
    records["public_small"]["tampered"] = template | {"files": {"file": file}}
    write_yaml(datasets, records)
    done = subprocess.run(
        [sys.executable, "-m", "stages.fetch", "public_small", "tampered"], cwd=project.root,
        env=os.environ | {"HELDOUT_MIRROR": str(tmp_path), "PYTHONPATH": str(project.root)},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    datasets.write_text(kept, encoding="utf-8")
    assert done.returncode == 1
    assert f"Expected SHA-256 {digest}" in done.stderr
    assert f"got {sha256(b'other bytes!!!').hexdigest()}" in done.stderr
    assert "Likely cause" in done.stderr
    assert not (project.root / "data/raw/public_small/tampered").exists()


class _Slow(http.server.BaseHTTPRequestHandler):
    """Serves a file in two halves, with a pause that the test ends."""

    content = bytes(range(256)) * 2000
    go_on = threading.Event()
    started = threading.Event()

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(self.content)))
        self.end_headers()
        half = len(self.content) // 2
        self.wfile.write(self.content[:half])
        self.wfile.flush()
        self.started.set()
        self.go_on.wait(60)
        self.wfile.write(self.content[half:])

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        pass


def test_a_killed_download_leaves_no_file_and_the_next_run_gets_it(tmp_path: Path) -> None:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Slow)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    digest = sha256(_Slow.content).hexdigest()
    script = (
        "from pathlib import Path; from leaderboard.config import RawFile; "
        "from leaderboard.download import fetch_files; "
        f"f = RawFile.model_construct(url='http://127.0.0.1:{server.server_port}/f', "
        f"sha256='{digest}', bytes={len(_Slow.content)}); "
        "fetch_files('d', {'f': f}, Path('out'), Path('cache'))"
    )
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[1])}
    environment.pop("HELDOUT_MIRROR", None)
    running = subprocess.Popen(
        [sys.executable, "-c", script], cwd=tmp_path, env=environment, stderr=subprocess.DEVNULL
    )
    assert _Slow.started.wait(60)
    running.kill()
    running.wait()
    assert not (tmp_path / "out/f").exists()
    assert not (tmp_path / "cache" / digest).exists()
    _Slow.go_on.set()
    subprocess.run([sys.executable, "-c", script], cwd=tmp_path, env=environment, check=True)
    assert (tmp_path / "out/f").read_bytes() == _Slow.content
    server.shutdown()
