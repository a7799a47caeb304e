"""The documents name what exists."""

import re
from pathlib import Path

import pytest

from leaderboard.config import read_params

ROOT = Path(__file__).parents[1]
DOCUMENTS = ("README.md", "CONTRIBUTING.md")


def _words_after(command: str, text: str) -> set[str]:
    code = re.findall(r"`([^`\n]+)`", text) + re.findall(r"```\n(.*?)```", text, flags=re.DOTALL)
    return {word for part in code for word in re.findall(rf"\b{command} ([a-z][a-z-]*)", part)}


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_make_target_that_a_document_names_exists(document: str) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE))
    named = _words_after("make", (ROOT / document).read_text(encoding="utf-8"))
    assert named
    assert named <= targets


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_heldout_command_that_a_document_names_exists(document: str) -> None:
    from leaderboard.submission.cli import app

    commands = {c.name or getattr(c.callback, "__name__", "") for c in app.registered_commands}
    named = _words_after("heldout", (ROOT / document).read_text(encoding="utf-8"))
    assert named
    assert named <= commands


def test_the_readme_lists_every_board() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    for board in read_params(ROOT / "params.yaml").all_boards():
        assert f"`{board}`" in text


def test_no_document_has_an_unfilled_place() -> None:
    for document in DOCUMENTS:
        assert not re.findall(r"@[A-Z]+@", (ROOT / document).read_text(encoding="utf-8"))
