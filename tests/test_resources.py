"""Outside tables are declared in one place, and no other bytes than the declared ones are used."""

import copy
import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

import stages.resource
from leaderboard import layout
from leaderboard.config import read_resource, read_resources
from leaderboard.download import MIRROR
from leaderboard.errors import ConfigError, FetchError, ResourceError, UnknownNameError
from leaderboard.gene_sets import read_gmt
from leaderboard.models import MODELS
from leaderboard.models._go import FILE, RESOURCE
from leaderboard.resources import resource_folders

CONTENT = b"a term\t\tSTAT1\tIRF1\n"
SHA256 = hashlib.sha256(CONTENT).hexdigest()
RECORD: dict[str, Any] = {
    "title": "T",
    "summary": "S",
    "files": {"sets.gmt": {"url": "https://example.org/x", "sha256": SHA256, "bytes": 20}},
    "licence": {"repository": "MIT", "data": "unknown"},
    "citation": {"text": "x", "doi": ""},
}
Write = Callable[[Any], Path]


@pytest.fixture
def write(in_folder: Path) -> Write:
    """Write ``data/resources.yaml`` in an empty folder."""

    def write_yaml(value: Any) -> Path:
        path = in_folder / layout.RESOURCES
        path.parent.mkdir(exist_ok=True)
        path.write_text(yaml.safe_dump(value))
        return path

    return write_yaml


def with_file(name: str, **changes: Any) -> dict[str, Any]:
    record = copy.deepcopy(RECORD)
    record["files"] = {name: record["files"]["sets.gmt"] | changes}
    return record


@pytest.fixture
def mirror(write: Write, in_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """One record, and a mirror that holds its file."""
    write({"resources": {"tiny": RECORD}})
    folder = in_folder / "mirror"
    folder.mkdir()
    (folder / SHA256).write_bytes(CONTENT)
    monkeypatch.setenv(MIRROR, str(folder))
    return folder


# Records


def test_the_records_of_this_repository_say_where_they_come_from(in_root: Path) -> None:
    assert in_root.is_dir()
    records = read_resources()
    assert RESOURCE in records
    for record in records.values():
        assert record.licence.repository
        assert record.licence.data
        assert record.citation.text


def test_every_record_is_read_by_a_model_so_that_none_is_fetched_for_nothing(
    in_root: Path,
) -> None:
    assert in_root.is_dir()
    assert set(read_resources()) == {name for m in MODELS.values() for name in m.resources}


@pytest.mark.parametrize(
    "name",
    ["../x.gmt", "a/b.gmt", "a\\b.gmt", "/etc/passwd", "..", ".hidden", "", "a b", "a\n", "$(id)"],
)
def test_a_file_name_that_could_leave_its_folder_is_refused(write: Write, name: str) -> None:
    with pytest.raises(ConfigError, match=r"resources\.tiny\.files"):
        read_resources(write({"resources": {"tiny": with_file(name)}}))


@pytest.mark.parametrize("key", ["../tiny", "a/b", "Tiny", "a-b", "", "1a", "a;id", "a\n"])
def test_a_key_that_is_no_plain_name_is_refused(write: Write, key: str) -> None:
    """It becomes part of a path and of a shell command."""
    with pytest.raises(ConfigError, match=r"resources\.yaml: resources"):
        read_resources(write({"resources": {key: RECORD}}))


@pytest.mark.parametrize(
    ("record", "told"),
    [
        ({**RECORD, "typo": 1}, r"tiny\.typo"),
        ({**RECORD, "files": {}}, r"tiny\.files"),
        ({k: v for k, v in RECORD.items() if k != "licence"}, r"tiny\.licence"),
        ({k: v for k, v in RECORD.items() if k != "citation"}, r"tiny\.citation"),
        (with_file("a.gmt", url="http://example.org/x"), r"files\.a\.gmt\.url"),
        (with_file("a.gmt", sha256="0" * 63), r"files\.a\.gmt\.sha256"),
        (with_file("a.gmt", bytes=0), r"files\.a\.gmt\.bytes"),
    ],
)
def test_a_record_that_breaks_the_schema_is_told_with_its_place(
    write: Write, record: dict[str, Any], told: str
) -> None:
    with pytest.raises(ConfigError, match=told):
        read_resources(write({"resources": {"tiny": record}}))


def test_an_unknown_resource_is_told_the_known_ones(write: Write) -> None:
    write({"resources": {"tiny": RECORD}})
    with pytest.raises(UnknownNameError, match=r"has no resource 'tyni'\. Known: tiny"):
        read_resource("tyni")


def test_what_is_read_decides_the_digest_and_a_licence_does_not(write: Write) -> None:
    licence = {"repository": "unknown", "data": "unknown"}
    records = {
        "one": RECORD,
        "same": {**RECORD, "licence": licence, "title": "Other"},
        "other_file": with_file("sets.gmt", sha256="0" * 64),
        "other_name": with_file("other.gmt"),
    }
    found = {k: r.sha256 for k, r in read_resources(write({"resources": records})).items()}
    assert found["one"] == found["same"]
    assert len(set(found.values())) == 3


# Fetching


def test_the_stage_puts_the_file_of_the_mirror_into_the_folder(mirror: Path) -> None:
    assert mirror.is_dir()
    stages.resource.main("tiny")
    assert resource_folders(["tiny"]) == {"tiny": layout.resource("tiny")}
    held = list(layout.resource("tiny").iterdir())
    assert [path.name for path in held] == ["sets.gmt"]
    assert held[0].read_bytes() == CONTENT


def test_a_file_whose_hash_differs_is_refused_and_nothing_is_kept(mirror: Path) -> None:
    (mirror / SHA256).write_bytes(b"a term\t\tSTAT1\tEVIL\n")
    with pytest.raises(FetchError, match=rf"tiny: sets\.gmt.*Expected SHA-256 {SHA256}"):
        stages.resource.main("tiny")
    assert not layout.resource("tiny").exists()
    assert not list(layout.resource("tiny").parent.iterdir())


def test_the_folder_of_an_older_record_is_replaced(mirror: Path) -> None:
    assert mirror.is_dir()
    folder = layout.resource("tiny")
    folder.mkdir(parents=True)
    (folder / "old.gmt").write_text("old")
    stages.resource.main("tiny")
    assert [path.name for path in folder.iterdir()] == ["sets.gmt"]


# Using


def test_a_resource_that_was_not_fetched_is_told_with_the_command(mirror: Path) -> None:
    assert mirror.is_dir()
    with pytest.raises(ResourceError, match=r"got nothing\. Run `python -m stages\.resource tiny`"):
        resource_folders(["tiny"])


def test_a_file_that_was_changed_after_the_fetch_is_refused(mirror: Path) -> None:
    assert mirror.is_dir()
    stages.resource.main("tiny")
    (layout.resource("tiny") / "sets.gmt").write_bytes(CONTENT + b"b\t\tX\n")
    with pytest.raises(ResourceError, match=rf"sets\.gmt: wrong file\. Expected SHA-256 {SHA256}"):
        resource_folders(["tiny"])


def test_a_file_that_the_record_does_not_name_is_refused(mirror: Path) -> None:
    assert mirror.is_dir()
    stages.resource.main("tiny")
    (layout.resource("tiny") / "extra.gmt").write_text("x")
    with pytest.raises(ResourceError, match=r"expected \['sets\.gmt'\].*'extra\.gmt'"):
        resource_folders(["tiny"])


# The real file


@pytest.mark.mirror
def test_the_go_terms_are_what_their_record_says(in_root: Path) -> None:
    assert in_root.is_dir()
    mirror = os.environ.get(MIRROR)
    if not mirror:
        pytest.skip(f"{MIRROR} is not set: no folder of real files named by SHA-256")
    record = read_resource(RESOURCE)
    path = Path(mirror) / record.files[FILE].sha256
    assert path.stat().st_size == record.files[FILE].bytes
    sets = read_gmt(path)
    sizes = [len(genes) for genes in sets.values()]
    n_genes = len(frozenset[str]().union(*sets.values()))
    told = f"{len(sets):,} terms of {min(sizes)} to {max(sizes):,} human gene symbols, {n_genes:,}"
    assert record.summary.startswith(told)
    annotated = frozenset[str]().union(*sets.values())
    assert ("MARCH8" in annotated, "MARCHF8" in annotated) == (False, True)
