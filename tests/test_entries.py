"""Every entry loads, says all it must, and its pipeline is what it generates and no more."""

import copy
import json
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from leaderboard import layout
from leaderboard.config import read_datasets, read_params, suite_of
from leaderboard.errors import ConfigError, HeldoutError, UnknownNameError
from leaderboard.models import MODELS
from leaderboard.submission import sync
from leaderboard.submission.entry import (
    Entry,
    boards_of,
    check_names,
    plugins_of,
    read_entries,
    read_entry,
    seeds_of,
)

ROOT = Path(__file__).parents[1]
IDS = sorted(p.name for p in (ROOT / layout.ENTRIES).iterdir() if p.is_dir())
each_entry = pytest.mark.parametrize("name", IDS)

GOOD: dict[str, Any] = {
    "schema": 1,
    "name": "Good",
    "description": "A good entry.",
    "kind": "model",
    "model": "majority",
    "parameters": {},
    "authors": ["A. Author"],
    "licence": {"code": "MIT", "weights": "none"},
    "weights": "none",
    "pretraining": [],
}
Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write an entry's folder with some keys changed; None removes a key."""

    def write_entry(folder: str = "good", **changes: Any) -> Path:
        value = copy.deepcopy(GOOD) | changes
        value = {k: v for k, v in value.items() if v is not None}
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / "entry.yaml").write_text(yaml.safe_dump(value))
        return tmp_path / folder

    return write_entry


@each_entry
def test_an_entry_of_the_tree_loads(in_root: Path, name: str) -> None:
    entry = read_entry(in_root / layout.ENTRIES / name)
    assert set(entry.models()) <= set(MODELS)
    assert entry.state == "not_run" or any(
        boards_of(entry, dataset, suite, read_params())
        for suite, records in read_datasets().items()
        for dataset in records
    )


@each_entry
def test_the_folder_of_an_entry_holds_no_more_than_it_may(in_root: Path, name: str) -> None:
    allowed = {"entry.yaml", "README.md", "dvc.yaml", "dvc.lock"}
    held = {p.name for p in (in_root / layout.ENTRIES / name).iterdir()}
    assert held <= allowed
    assert {"entry.yaml", "dvc.yaml"} <= held


@each_entry
def test_the_pipeline_of_an_entry_is_what_sync_generates(in_root: Path, name: str) -> None:
    entry = read_entry(in_root / layout.ENTRIES / name)
    text = (in_root / layout.ENTRIES / name / "dvc.yaml").read_text(encoding="utf-8")
    assert text == sync.pipeline(name, entry, read_params())


@each_entry
def test_a_pipeline_holds_no_template_and_no_stage_but_predict_and_score(
    in_root: Path, name: str
) -> None:
    text = (in_root / layout.ENTRIES / name / "dvc.yaml").read_text(encoding="utf-8")
    assert "${" not in text
    value = yaml.safe_load(text)
    assert set(value) == {"stages"}
    for stage, body in value["stages"].items():
        verb, _, dataset = stage.partition("-")
        assert verb in {"predict", "score"}
        command = ["python", "-m", f"stages.{verb}", suite_of(dataset), dataset, name]
        assert shlex.split(body["cmd"]) == command
        assert set(body) == {"desc", "cmd", "wdir", "deps", "params", "outs"}


def test_nothing_is_stale(in_root: Path) -> None:
    assert in_root.is_dir()
    sync.check()


def test_a_stale_pipeline_is_named_and_sync_writes_it(
    in_root: Path, tmp_path: Path, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert in_root.is_dir()
    write("one")
    write("two")
    monkeypatch.setattr(layout, "ENTRIES", tmp_path)
    monkeypatch.setattr(sync, "read_entries", lambda: read_entries(tmp_path))
    with pytest.raises(ConfigError, match=r"dvc.yaml of \['one', 'two'\] is not what"):
        sync.check()
    assert sync.sync() == ["one", "two"]
    sync.check()
    assert sync.sync() == []
    (tmp_path / "two" / "dvc.yaml").write_text("stages: {}\n")
    with pytest.raises(ConfigError, match=r"dvc.yaml of \['two'\]"):
        sync.check()


def test_an_entry_that_is_not_run_has_no_stage(in_root: Path, write: Write) -> None:
    assert in_root.is_dir()
    entry = read_entry(write(state="not_run"))
    assert yaml.safe_load(sync.pipeline("good", entry, read_params())) == {"stages": {}}


def test_a_model_runs_on_the_boards_of_its_task_less_those_it_skips(
    in_root: Path, write: Write
) -> None:
    assert in_root.is_dir()
    params = read_params()
    entry = read_entry(write())
    boards = boards_of(entry, "sim_atlas", "known_truth", params)
    asked = [b for b in params.boards_of("sim_atlas") if b.task == "cell_type_annotation"]
    assert boards == asked
    assert boards_of(entry, "sim_screen", "known_truth", params) == [
        b for b in params.boards_of("sim_screen") if b.task == "cell_type_annotation"
    ]
    skipping = read_entry(write("skipping", skip={asked[0].id: "too large"}))
    assert boards_of(skipping, "sim_atlas", "known_truth", params) == asked[1:]


def test_the_oracle_runs_on_simulated_data_only(in_root: Path) -> None:
    entry = read_entry(in_root / layout.ENTRIES / "controls")
    params = read_params()
    for dataset in params.boards:
        suite = suite_of(dataset)
        for board in boards_of(entry, dataset, suite, params):
            assert ("oracle" in plugins_of(entry, board, suite)) == (suite == "known_truth")


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"typo": 1}, "typo"),
        ({"licence": {"code": "MIT", "weights": "none", "typo": "x"}}, r"licence\.typo"),
        ({"exposure": {"kang": {"status": "unseen", "evidence": "x", "typo": 1}}}, "typo"),
        ({"schema": 2}, "schema"),
        ({"schema": None}, "schema"),
        ({"kind": "oracle"}, "kind"),
        ({"authors": []}, "authors"),
        ({"authors": [""]}, "authors"),
        ({"name": ""}, "name"),
        ({"name": "x" * 81}, "name"),
        ({"description": "x" * 501}, "description"),
        ({"weights": "secret"}, "weights"),
        ({"tier": "huge"}, "tier"),
        ({"exposure": {"kang": {"status": "no", "evidence": "x"}}}, "exposure"),
        ({"exposure": {"kang": {"status": "unseen"}}}, "evidence"),
        ({"parameters": {"list": [1]}}, "parameters"),
        ({"model": None}, "names its `model`"),
        ({"plugins": {"oracle": {}}}, "lists its `plugins`"),
        ({"kind": "controls", "model": None}, "lists its `plugins`"),
        ({"model": "majorty"}, "no model is named 'majorty'. Known: .*majority"),
    ],
    ids=lambda value: json.dumps(value)[:40] if isinstance(value, dict) else "",
)
def test_an_entry_that_breaks_the_schema_is_refused_with_the_place(
    write: Write, changes: dict[str, Any], told: str
) -> None:
    with pytest.raises(ConfigError, match=told) as error:
        read_entry(write(**changes))
    assert "entry.yaml" in str(error.value)


@pytest.mark.parametrize(
    "folder",
    ["Big", "two words", "a_b", "-x", "x;touch pwned", "$(id)", "a" * 42],
)
def test_a_folder_whose_name_is_no_id_is_refused(write: Write, folder: str) -> None:
    """The name becomes part of a shell command and of file names."""
    with pytest.raises(HeldoutError):
        read_entry(write(folder))


def test_a_folder_without_an_entry_is_one_clear_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"entry\.yaml: cannot be read"):
        read_entry(tmp_path / "an-entry")


def test_a_skip_must_name_a_board_that_exists(in_root: Path, write: Write) -> None:
    assert in_root.is_dir()
    board = next(iter(read_params().all_boards()))
    check_names({"good": read_entry(write(skip={board: "too large"}))})
    with pytest.raises(UnknownNameError, match=r"entries/typo/entry.yaml: `skip` names no board"):
        check_names({"typo": read_entry(write("typo", skip={"no-such-board": "x"}))})


def test_seeds_are_of_a_dataset_that_exists_and_a_model_that_draws(
    in_root: Path, write: Write
) -> None:
    assert in_root.is_dir()
    check_names({"good": read_entry(write(model="torch_mlp", seeds={"sim_atlas": 3}))})
    with pytest.raises(UnknownNameError, match=r"`seeds` names no dataset: \['sim_atlsa'\]"):
        check_names({"a": read_entry(write("typo", model="torch_mlp", seeds={"sim_atlsa": 3}))})
    with pytest.raises(ConfigError, match="majority gives the same answer for every seed"):
        check_names({"a": read_entry(write("same", model="majority", seeds={"sim_atlas": 3}))})
    with pytest.raises(ConfigError, match="seeds"):
        read_entry(write("one", model="torch_mlp", seeds={"sim_atlas": 1}))


def test_seeds_of_one_dataset_leave_the_others_as_they_were(in_root: Path, write: Write) -> None:
    assert in_root.is_dir()
    params = read_params()
    plain = read_entry(write(model="torch_mlp"))
    seeded = read_entry(write("seeded", model="torch_mlp", seeds={"kang_ctrl": 3}))
    assert seeds_of(seeded, "kang_ctrl", params) == [0, 1, 2]
    assert seeds_of(seeded, "sim_atlas", params) == params.seeds
    before, after = (
        yaml.safe_load(sync.pipeline("x", entry, params))["stages"] for entry in (plain, seeded)
    )
    changed = [name for name in before if before[name] != after[name]]
    assert changed == ["predict-kang_ctrl"]
    assert "seeds.kang_ctrl" in after["predict-kang_ctrl"]["params"][0].popitem()[1]


def test_the_parameters_that_an_entry_names_are_those_of_its_model(in_root: Path) -> None:
    for name, entry in read_entries(in_root / layout.ENTRIES).items():
        for model, parameters in entry.models().items():
            assert MODELS[model].load(**parameters) is not None, name


def predict_stage(name: str, entry: Entry) -> dict[str, Any]:
    stages = yaml.safe_load(sync.pipeline(name, entry, read_params()))["stages"]
    stage: dict[str, Any] = next(v for k, v in stages.items() if k.startswith("predict-"))
    return stage


def test_what_decides_a_prediction_is_a_dependency_and_what_does_not_is_none(
    in_root: Path,
) -> None:
    entry = read_entry(in_root / layout.ENTRIES / "majority")
    stage = predict_stage("majority", entry)
    (of_entry, of_params) = stage["params"]
    keys = set(of_entry["leaderboard/entries/majority/entry.yaml"])
    assert {"model", "parameters", "tier"} <= keys
    assert not keys & {"name", "description", "authors", "licence"}
    assert set(of_params["params.yaml"]) == {"seeds", "threads", "tiers.default"}
    assert "leaderboard/models/majority.py" in stage["deps"]
    assert "leaderboard/models/torch_mlp.py" not in stage["deps"]
    assert not any(dep.startswith("data/truth/") for dep in stage["deps"])
    controls = predict_stage("controls", read_entry(in_root / layout.ENTRIES / "controls"))
    assert any(dep.startswith("data/truth/") for dep in controls["deps"])


def test_declared_files_exist(in_root: Path) -> None:
    for name in MODELS:
        files = sync.model_files(name)
        assert f"leaderboard/models/{name}.py" in files
        assert all((in_root / file).is_file() for file in files)


IMPORTED = """
import importlib, json, os, sys
import anndata, numpy, pandas, pyarrow, scipy.sparse  # heavy, and shared by every child

def imported(name):
    read, write = os.pipe()
    if os.fork() == 0:
        os.close(read)
        importlib.import_module("leaderboard.models." + name).MODEL.load()
        found = [m for m in sys.modules if m.startswith("leaderboard.")]
        with os.fdopen(write, "w") as stream:
            json.dump(found, stream)
        os._exit(0)
    os.close(write)
    with os.fdopen(read) as stream:
        return json.load(stream)

print(json.dumps({name: imported(name) for name in sys.argv[1:]}))
"""


@pytest.fixture(scope="module")
def really_imported() -> dict[str, set[str]]:
    """Return the files of ours that each model imports, in a fresh process each."""
    done = subprocess.run(
        [sys.executable, "-c", IMPORTED, *MODELS],
        capture_output=True, text=True, check=False, cwd=ROOT,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    return {
        name: {
            path
            for path in (f"{module.replace('.', '/')}.py" for module in modules)
            if (ROOT / path).is_file()
        }
        for name, modules in json.loads(done.stdout).items()
    }


@pytest.mark.parametrize("name", list(MODELS))
def test_the_declared_files_of_a_model_are_all_that_it_really_imports(
    in_root: Path, really_imported: dict[str, set[str]], name: str
) -> None:
    """Modules that only move values are left out on purpose; see RECORDS_AND_DOORS."""
    assert in_root.is_dir()
    spared = {f"leaderboard/{module}.py" for module in sync.RECORDS_AND_DOORS}
    assert f"leaderboard/models/{name}.py" in really_imported[name]
    assert really_imported[name] - spared <= set(sync.model_files(name))


@pytest.mark.parametrize("name", list(MODELS))
def test_a_model_imports_no_part_of_scoring_and_no_entry(
    really_imported: dict[str, set[str]], name: str
) -> None:
    forbidden = (
        "leaderboard/tasks",
        "leaderboard/metrics",
        "leaderboard/score",
        "leaderboard/audit",
    )
    assert not [f for f in really_imported[name] if f.startswith(forbidden)]
