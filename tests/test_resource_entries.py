"""Entries depend on the outside tables that their models declare; the default pipeline on none."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

import stages.predict
from leaderboard import layout
from leaderboard.config import read_params, read_resource, suite_of
from leaderboard.errors import ResourceError, UnknownNameError
from leaderboard.models import MODELS
from leaderboard.models._go import FILE, RESOURCE
from leaderboard.predict import Plan
from leaderboard.spec import Model
from leaderboard.submission import sync
from leaderboard.submission.entry import read_entries


@pytest.mark.parametrize("name", list(MODELS))
def test_a_model_declares_resources_that_exist_and_needs_none_in_the_default_run(
    in_root: Path, name: str
) -> None:
    assert in_root.is_dir()
    sync.check_resources({name: MODELS[name]}, read_entries())


def test_a_model_with_an_unknown_resource_is_named(in_root: Path) -> None:
    assert in_root.is_dir()
    wrong = replace(MODELS["go_knn"], resources=("go_bp_2012",))
    with pytest.raises(UnknownNameError, match=r"models/go_knn\.py.*'go_bp_2012'.*Known: .*go_bp"):
        sync.check_resources({"go_knn": wrong}, read_entries())


def test_a_model_with_a_resource_cannot_join_the_boards_that_need_no_network(
    in_root: Path,
) -> None:
    assert in_root.is_dir()
    wrong = replace(MODELS["go_knn"], suites=("known_truth", "public_small"))
    entries = read_entries()
    told = r"models/go_knn\.py.*without a network, with the entries \['go-knn'\]"
    with pytest.raises(ResourceError, match=told):
        sync.check_resources({"go_knn": wrong}, entries)
    full = {"go-knn": entries["go-knn"].model_copy(update={"tier": "full"})}
    sync.check_resources({"go_knn": wrong}, entries | full)
    both = entries | full | {"go-small": entries["go-knn"]}
    with pytest.raises(ResourceError, match=r"\['go-small'\]"):
        sync.check_resources({"go_knn": wrong}, both)


def test_sync_refuses_an_entry_whose_model_names_an_unknown_resource(
    in_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert in_root.is_dir()
    models: dict[str, Model] = dict(MODELS)
    models["go_knn"] = replace(MODELS["go_knn"], resources=("nowhere",))
    monkeypatch.setattr(sync, "MODELS", models)
    with pytest.raises(UnknownNameError, match="'nowhere'"):
        sync.check()


def stages_of(name: str) -> dict[str, Any]:
    text = sync.pipeline(name, read_entries()[name], read_params())
    found: dict[str, Any] = yaml.safe_load(text)["stages"]
    return found


@pytest.mark.parametrize("name", ["go-knn", "go-ridge"])
def test_predict_depends_on_the_table_and_score_does_not(in_root: Path, name: str) -> None:
    assert in_root.is_dir()
    table = layout.resource(RESOURCE).as_posix()
    stages = stages_of(name)
    assert {f"predict-{d}" for d in ("norman_mcfaline", "papalexi")} <= set(stages)
    for stage, body in stages.items():
        assert (table in body["deps"]) == stage.startswith("predict-")


def test_no_simulated_stage_of_the_default_tier_depends_on_a_table(in_root: Path) -> None:
    root = yaml.safe_load((in_root / "dvc.yaml").read_text(encoding="utf-8"))
    assert "raw/resources" not in yaml.safe_dump(root), "records may be shown, tables not read"
    for name in (n for n, entry in read_entries().items() if entry.tier == "default"):
        for stage, body in stages_of(name).items():
            if suite_of(stage.partition("-")[2]) == "known_truth":
                assert not [dep for dep in body["deps"] if dep.startswith("data/raw/resources")]


@pytest.fixture
def planned(in_root: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Plan]:
    """What stages.predict plans for an entry on K562, with tables that are there."""

    def plan(entry: str) -> Plan:
        plans: list[Plan] = []
        monkeypatch.setattr(stages.predict, "Tracker", str)
        monkeypatch.setattr(
            stages.predict, "resource_folders", lambda names: {n: layout.resource(n) for n in names}
        )
        monkeypatch.setattr(stages.predict, "predict_dataset", lambda plan, _: plans.append(plan))
        stages.predict.main("public_small", "norman_mcfaline", entry)
        return plans[0]

    assert in_root.is_dir()
    return plan


def test_a_run_is_resumed_with_the_same_table_only(
    planned: Callable[[str], Plan], monkeypatch: pytest.MonkeyPatch
) -> None:
    one, plain = planned("go-knn"), planned("coexpression-knn")
    assert one.resources == {RESOURCE: layout.resource(RESOURCE)}
    assert plain.resources == {}
    assert planned("go-knn").key == one.key
    record = read_resource(RESOURCE)
    file = record.files[FILE].model_copy(update={"sha256": "0" * 64})
    changed = record.model_copy(update={"files": {FILE: file}})
    monkeypatch.setattr(stages.predict, "read_resource", lambda _name: changed)
    assert planned("go-knn").key != one.key
    assert planned("coexpression-knn").key == plain.key
