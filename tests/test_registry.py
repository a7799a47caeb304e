"""A plug-in is a module that holds one record of its own name; nothing else is found."""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from leaderboard.errors import HeldoutError, PluginError, UnknownNameError
from leaderboard.registry import Registry

RECORD = "from heldout_plugin_kind import Plugin\n"


@dataclass(frozen=True)
class Plugin:
    name: str


Write = Callable[..., "Registry[Plugin]"]


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Write:
    """Write modules into a new package and return the registry over it."""
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setitem(sys.modules, "heldout_plugin_kind", sys.modules[__name__])
    name = f"plugins_{tmp_path.name}"

    def write(**modules: str) -> "Registry[Plugin]":
        folder = tmp_path / name
        folder.mkdir()
        (folder / "__init__.py").write_text("")
        for stem, body in modules.items():
            (folder / f"{stem}.py").write_text(RECORD + body)
        return Registry(name, Plugin)

    return write


def test_plugins_are_found_by_file_name_and_listed_in_order(package: Write) -> None:
    registry = package(zebra='P = Plugin("zebra")', ant='P = Plugin("ant")')
    assert list(registry) == ["ant", "zebra"]
    assert len(registry) == 2
    assert registry["zebra"] == Plugin("zebra")


def test_a_module_with_an_underscore_is_a_helper_and_no_plugin(package: Write) -> None:
    registry = package(ant='P = Plugin("ant")', _shared="raise RuntimeError")
    assert list(registry) == ["ant"]
    with pytest.raises(UnknownNameError):
        registry["_shared"]


def test_a_plugin_is_imported_only_when_it_is_asked_for(package: Write) -> None:
    registry = package(ant='P = Plugin("ant")', bad="raise RuntimeError('imported')")
    assert "bad" in list(registry)
    assert registry["ant"].name == "ant"
    with pytest.raises(RuntimeError, match="imported"):
        registry["bad"]


def test_an_unknown_name_is_told_the_nearest(package: Write) -> None:
    registry = package(macro_f1='P = Plugin("macro_f1")', pds='P = Plugin("pds")')
    with pytest.raises(UnknownNameError, match=r"No plugin is named 'macro_f2'. Nearest: macro_f1"):
        registry["macro_f2"]


def test_a_name_near_to_none_is_told_all(package: Write) -> None:
    registry = package(ant='P = Plugin("ant")', bee='P = Plugin("bee")')
    with pytest.raises(UnknownNameError, match="Nearest: ant, bee"):
        registry["zzzzzzzz"]


def test_an_unknown_name_is_a_key_error_so_that_get_and_in_work(package: Write) -> None:
    registry = package(ant='P = Plugin("ant")')
    assert "fly" not in registry
    assert registry.get("fly") is None
    assert issubclass(UnknownNameError, HeldoutError)


@pytest.mark.parametrize(
    ("body", "held"),
    [
        ("", r"\[\]"),
        ('P = Plugin("bee")', r"\['bee'\]"),
        ('P = Plugin("ant")\nQ = Plugin("bee")', r"\['ant', 'bee'\]"),
    ],
    ids=["none", "of another name", "two"],
)
def test_a_module_must_hold_exactly_one_plugin_of_its_own_name(
    package: Write, body: str, held: str
) -> None:
    registry = package(ant=body)
    with pytest.raises(PluginError, match=f"must hold one Plugin named 'ant', but holds {held}"):
        registry["ant"]


def test_a_registry_cannot_be_written(package: Write) -> None:
    registry = package(ant='P = Plugin("ant")')
    with pytest.raises(TypeError, match="does not support item assignment"):
        registry["bee"] = Plugin("bee")  # type: ignore[index]
