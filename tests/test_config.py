"""The hand-written files are checked when they are read, and every fault is named."""

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from leaderboard import config
from leaderboard.config import read_dataset, read_datasets, read_params, suite_of
from leaderboard.errors import ConfigError, UnknownNameError
from leaderboard.spec import Board

Write = Callable[[Any], Path]

PARAMS: dict[str, Any] = {
    "release": "2026.1",
    "threads": 2,
    "seeds": [0],
    "folds": {"seed": 1, "k": 5, "validation_fraction": 0.15},
    "tiers": {"default": {"max_train_cells": 10}, "full": {}},
    "boards": {
        "one": [
            {"task": "t", "split": "donor", "unit": "donor_id"},
            {"task": "t", "split": "random", "matches": "donor", "unit": "donor_id"},
        ],
        "two": [],
    },
}
RECORD: dict[str, Any] = {
    "title": "T",
    "summary": "S",
    "source": "sim",
    "parameters": {"seed": 1},
    "obs": ["donor_id"],
    "library": "single",
    "expected": {"cells": 1, "genes": 2},
    "licence": {"repository": "MIT", "data": "MIT"},
    "citation": {"text": "x", "doi": ""},
    "organism": "none",
}
FILE = {"url": "https://example.org/a", "sha256": "0" * 64, "bytes": 3}


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def write_yaml(value: Any) -> Path:
        path = tmp_path / "file.yaml"
        path.write_text(yaml.safe_dump(value))
        return path

    return write_yaml


def changed(value: dict[str, Any], path: str, new: Any) -> dict[str, Any]:
    """Return a copy with one key set; ``path`` is dotted, numbers index lists."""
    result = copy.deepcopy(value)
    *parents, last = path.split(".")
    target: Any = result
    for key in parents:
        target = target[int(key)] if key.isdigit() else target[key]
    target[last] = new
    return result


def datasets_of(record: dict[str, Any]) -> dict[str, Any]:
    return {"known_truth": {"one": record}, "public_small": {}, "public_large": {}}


def test_params_are_read_as_they_stand(write: Write) -> None:
    params = read_params(write(PARAMS))
    assert (params.release, params.threads, params.seeds) == ("2026.1", 2, [0])
    assert (params.folds.seed, params.folds.k, params.folds.validation_fraction) == (1, 5, 0.15)
    assert params.tiers["default"].max_train_cells == 10
    assert params.tiers["full"].max_train_cells is None


def test_boards_carry_their_dataset_and_a_random_one_names_its_twin(write: Write) -> None:
    params = read_params(write(PARAMS))
    grouped, random = params.boards_of("one")
    assert grouped == Board(dataset="one", task="t", split="donor", unit="donor_id")
    assert (grouped.id, grouped.is_random) == ("one-t-donor", False)
    assert (random.id, random.is_random) == ("one-t-random-donor", True)
    assert params.boards_of("two") == ()
    assert params.boards_of("absent") == ()
    assert list(params.all_boards()) == ["one-t-donor", "one-t-random-donor"]


@pytest.mark.parametrize(
    "path",
    ["typo", "folds.typo", "tiers.default.typo", "tiers.huge", "boards.one.0.typo"],
)
def test_an_unknown_key_of_params_is_refused_by_name(write: Write, path: str) -> None:
    with pytest.raises(ConfigError, match=path.rpartition(".")[2]):
        read_params(write(changed(PARAMS, path, {})))


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("release", 2026.1),
        ("threads", 0),
        ("seeds", []),
        ("folds.k", "five"),
        ("tiers.default.max_train_cells", "many"),
        ("boards.one.0.size_factor", "library"),
    ],
)
def test_a_wrong_value_of_params_is_told_with_its_place(
    write: Write, path: str, value: Any
) -> None:
    with pytest.raises(ConfigError, match=path.replace(".", r"\.")) as error:
        read_params(write(changed(PARAMS, path, value)))
    assert repr(value) in str(error.value)


def test_every_fault_is_told_at_once(write: Write) -> None:
    broken = changed(changed(PARAMS, "threads", 0), "seeds", [])
    with pytest.raises(ConfigError, match=r"threads: .*seeds: "):
        read_params(write(broken))


@pytest.mark.parametrize("text", ["", "[]", "text"])
def test_params_that_are_no_mapping_are_one_clear_error(tmp_path: Path, text: str) -> None:
    (tmp_path / "params.yaml").write_text(text)
    with pytest.raises(ConfigError, match=r"params\.yaml: "):
        read_params(tmp_path / "params.yaml")


def test_a_record_has_files_or_parameters(write: Write) -> None:
    record = read_datasets(write(datasets_of(RECORD)))["known_truth"]["one"]
    assert record.parameters == {"seed": 1}
    with_files = changed(changed(RECORD, "files", {"a.rda": FILE}), "parameters", {})
    record = read_datasets(write(datasets_of(with_files)))["known_truth"]["one"]
    assert record.files["a.rda"].bytes == 3
    for wrong in (changed(RECORD, "files", {"a.rda": FILE}), changed(RECORD, "parameters", {})):
        with pytest.raises(ConfigError, match=r"known_truth\.one: .*either `files`"):
            read_datasets(write(datasets_of(wrong)))


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("typo", 1),
        ("expected.typo", 1),
        ("licence.typo", "MIT"),
        ("expected.cells", "all"),
        ("expected.categories", {"donor_id": {"D1": "many"}}),
    ],
)
def test_a_record_that_breaks_its_schema_is_told_with_suite_and_name(
    write: Write, path: str, value: Any
) -> None:
    with pytest.raises(ConfigError, match=r"known_truth\.one: " + path.replace(".", r"\.")):
        read_datasets(write(datasets_of(changed(RECORD, path, value))))


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("url", "http://example.org/a"),
        ("url", "file:///etc/passwd"),
        ("sha256", "0" * 63),
        ("sha256", "Z" * 64),
        ("bytes", 0),
        ("mode", "x"),
    ],
)
def test_a_file_needs_https_a_sha256_and_a_size(write: Write, key: str, value: Any) -> None:
    record = changed(RECORD, "files", {"a.rda": {**FILE, key: value}})
    record["parameters"] = {}
    with pytest.raises(ConfigError, match=rf"files\.a\.rda\.{key}"):
        read_datasets(write(datasets_of(record)))


@pytest.mark.parametrize("name", ["../a.rda", "a/b.rda", "/a.rda", "..", ".a", ""])
def test_a_file_name_that_could_leave_its_folder_is_refused(write: Write, name: str) -> None:
    record = changed(RECORD, "parameters", {}) | {"files": {name: FILE}}
    with pytest.raises(ConfigError, match=r"known_truth\.one: files"):
        read_datasets(write(datasets_of(record)))


@pytest.mark.parametrize("suites", [["known_truth"], ["known_truth", "public", "public_large"]])
def test_the_suites_are_these_three(write: Write, suites: list[str]) -> None:
    with pytest.raises(ConfigError, match="expected the suites"):
        read_datasets(write(dict.fromkeys(suites)))


def test_an_empty_file_of_datasets_is_one_clear_error(tmp_path: Path) -> None:
    (tmp_path / "datasets.yaml").write_text("")
    with pytest.raises(ConfigError, match=r"datasets\.yaml: "):
        read_datasets(tmp_path / "datasets.yaml")


def test_a_suite_without_datasets_is_empty(write: Write) -> None:
    suites: dict[str, Any] = dict.fromkeys(config.SUITES)
    records = read_datasets(write(suites))
    assert list(records) == list(config.SUITES)
    assert not any(records.values())


def test_an_unknown_dataset_is_told_the_known_ones(in_root: Path) -> None:
    assert in_root.is_dir()
    assert suite_of("sim_atlas") == "known_truth"
    with pytest.raises(UnknownNameError, match=r"has no dataset 'sim_atlsa'. Known: sim_atlas"):
        read_dataset("known_truth", "sim_atlsa")
    with pytest.raises(UnknownNameError, match="has no dataset 'sim_atlsa'"):
        suite_of("sim_atlsa")


def test_the_boards_of_this_repository_name_tasks_splits_and_columns_that_exist(
    in_root: Path,
) -> None:
    from leaderboard.cases import obs_columns
    from leaderboard.splits import SPLITTERS
    from leaderboard.tasks import TASKS

    assert in_root.is_dir()
    boards = read_params().all_boards()
    assert boards
    for board in boards.values():
        record = read_dataset(suite_of(board.dataset), board.dataset)
        assert board.task in TASKS
        assert board.split in SPLITTERS
        assert board.is_random == (board.matches is not None)
        assert obs_columns(board) | set(board.where) <= set(record.obs), board.id
        assert board.unit in {*record.obs, TASKS[board.task].gene_unit}


def test_no_name_contains_a_dash_so_that_board_ids_can_be_taken_apart(in_root: Path) -> None:
    assert in_root.is_dir()
    for board_id, board in read_params().all_boards().items():
        parts = [
            board.dataset,
            board.task,
            board.split,
            *([board.matches] if board.matches else []),
            *([board.variant] if board.variant else []),
        ]
        assert board_id.split("-") == parts
