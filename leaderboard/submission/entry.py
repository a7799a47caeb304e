"""The schema of ``entry.yaml``: the YAML is the submission."""

import re
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from leaderboard import layout
from leaderboard.config import Params, Strict, read_params, validated
from leaderboard.errors import ConfigError, UnknownNameError
from leaderboard.io import read_yaml
from leaderboard.models import MODELS
from leaderboard.spec import Board, Model

ID = r"^[a-z0-9][a-z0-9-]{1,40}$"
CONTROLS = "controls"
SIMULATED = "known_truth"
"""Recomputed by the default run, without a network; the full tier joins from committed results."""
Text = Annotated[str, Field(min_length=1, max_length=500)]


class EntryLicence(Strict):
    """Licences of code and weights."""

    code: Text
    weights: Text


class Exposure(Strict):
    """Whether a pretraining corpus held a dataset, and how that is known."""

    status: Literal["seen", "unseen", "unknown"]
    evidence: Text


class Entry(Strict):
    """One submission; its id is the name of its folder."""

    schema_version: Annotated[Literal[1], Field(alias="schema")]
    name: Annotated[str, Field(min_length=1, max_length=80)]
    description: Text
    kind: Literal["model", "controls"]
    model: str | None = None
    parameters: dict[str, int | float | bool | str] = Field(default_factory=dict)
    plugins: dict[str, dict[str, Any]] = Field(default_factory=dict)
    baseline: bool = False
    tier: Literal["default", "full"] = "default"
    state: Literal["active", "not_run"] = "active"
    authors: Annotated[list[Text], Field(min_length=1)]
    licence: EntryLicence
    weights: Literal["none", "trained here", "random", "pretrained"]
    pretraining: list[Text]
    exposure: dict[str, Exposure] = Field(default_factory=dict)
    skip: dict[str, Text] = Field(default_factory=dict)
    seeds: dict[str, Annotated[int, Field(ge=2, le=100)]] = Field(default_factory=dict)
    """How many seeds are run, by dataset; the release's own on all others."""

    @model_validator(mode="after")
    def _model_or_plugins(self) -> "Entry":
        if (self.kind == "model") != (self.model is not None):
            raise ValueError("kind `model` names its `model`, and no other kind does")
        if (self.kind == "controls") != bool(self.plugins):
            raise ValueError("kind `controls` lists its `plugins`, and no other kind does")
        return self

    def models(self) -> dict[str, dict[str, Any]]:
        """Return every plug-in that the entry runs, with its parameters."""
        return self.plugins if self.model is None else {self.model: dict(self.parameters)}


def read_entry(folder: Path) -> Entry:
    """Read and check one entry's folder.

    Raises
    ------
    ConfigError
        If the folder's name is no id, or ``entry.yaml`` breaks the schema.
    """
    name = folder.resolve().name
    if not re.fullmatch(ID, name):
        raise ConfigError(
            f"{folder}: {name!r} is no entry id; expected 2 to 41 lower-case letters, digits and "
            "hyphens, the first no hyphen. Rename the folder."
        )
    path = folder / "entry.yaml"
    value = read_yaml(path)
    entry: Entry = validated(Entry, value, str(path))
    for model in entry.models():
        if model not in MODELS:
            raise ConfigError(f"{path}: no model is named {model!r}. Known: {', '.join(MODELS)}.")
    return entry


def read_entries(root: Path = layout.ENTRIES) -> dict[str, Entry]:
    """Read every entry of the tree, by id, in order."""
    return {folder.name: read_entry(folder) for folder in sorted(root.iterdir()) if folder.is_dir()}


def boards_of(entry: Entry, dataset: str, suite: str, params: Params) -> list[Board]:
    """Return the boards of a dataset that an entry answers, in the order of ``params.yaml``."""
    if entry.state == "not_run":
        return []
    return [
        board
        for board in params.boards_of(dataset)
        if board.id not in entry.skip and any(_answers(m, board, suite) for m in _plugins(entry))
    ]


def seeds_of(entry: Entry, dataset: str, params: Params) -> list[int]:
    """Return the seeds that an entry runs on a dataset."""
    return list(range(entry.seeds[dataset])) if dataset in entry.seeds else params.seeds


def plugins_of(entry: Entry, board: Board, suite: str) -> list[str]:
    """Return the plug-ins of an entry that answer a board."""
    return [model.name for model in _plugins(entry) if _answers(model, board, suite)]


def _plugins(entry: Entry) -> list[Model]:
    return [MODELS[name] for name in entry.models()]


def _answers(model: Model, board: Board, suite: str) -> bool:
    return board.task in model.tasks and suite in model.suites


def check_names(entries: dict[str, Entry]) -> None:
    """Raise if an entry skips a board, or seeds a dataset, that does not exist.

    Raises
    ------
    UnknownNameError
        Naming the board or dataset, and those that exist.
    ConfigError
        If seeds are asked of a model that gives the same answer for every seed.
    """
    params = read_params()
    known = set(params.all_boards())
    for name, entry in entries.items():
        where = f"leaderboard/entries/{name}/entry.yaml: `seeds`"
        elsewhere = sorted(set(entry.seeds) - set(params.boards))
        if elsewhere:
            raise UnknownNameError(
                f"{where} names no dataset: {elsewhere}. Datasets: {sorted(params.boards)}."
            )
        if entry.seeds and not any(MODELS[m].is_stochastic for m in entry.models()):
            raise ConfigError(
                f"{where}: {', '.join(entry.models())} gives the same answer for every seed. "
                "Leave it out."
            )
        unknown = sorted(set(entry.skip) - known)
        if unknown:
            raise UnknownNameError(
                f"leaderboard/entries/{name}/entry.yaml: `skip` names no board: {unknown}. "
                f"Boards: {sorted(known)}."
            )
