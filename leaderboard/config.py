"""The hand-written files (``params.yaml``, datasets and resources under ``data``), checked."""

import hashlib
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from leaderboard import layout
from leaderboard.errors import ConfigError, UnknownNameError
from leaderboard.io import read_json, read_yaml
from leaderboard.spec import Board, BoardLine, FoldRule, Suite

SUITES: tuple[Suite, ...] = get_args(Suite)


class Strict(BaseModel):
    """A record that refuses unknown keys and never changes."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class TierLimits(Strict):
    """What a tier caps; absent means no cap."""

    max_train_cells: int | None = None
    max_epochs: int | None = None


class Params(Strict):
    """``params.yaml``."""

    release: str
    threads: Annotated[int, Field(ge=1)]
    seeds: Annotated[list[int], Field(min_length=1)]
    folds: FoldRule
    tiers: dict[Literal["default", "full"], TierLimits]
    boards: dict[str, list[BoardLine]]

    def boards_of(self, dataset: str) -> tuple[Board, ...]:
        """Return the boards of one dataset, in the order of the file."""
        lines = self.boards.get(dataset, [])
        return tuple(Board(dataset=dataset, **asdict(line)) for line in lines)

    def all_boards(self) -> dict[str, Board]:
        """Return every board by its id."""
        return {b.id: b for dataset in self.boards for b in self.boards_of(dataset)}


FileName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]
"""No separator and no leading dot: a name cannot leave the folder it is put in."""


class RawFile(Strict):
    """One file to download."""

    url: Annotated[str, Field(pattern=r"^https://")]
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    bytes: Annotated[int, Field(gt=0)]


class Expected(Strict):
    """What the clean dataset must hold, exactly."""

    cells: int
    genes: int
    total_counts: int | None = None
    categories: dict[str, dict[str, int]] = Field(default_factory=dict)


class Licence(Strict):
    """Of the repository that serves the files, and of the data in them."""

    repository: str
    data: str


class Citation(Strict):
    """What to cite."""

    text: str
    doi: str


LIBRARY_WORDS = ("single", "unknown")
"""What a record says of libraries where no column tells them apart."""


class DatasetRecord(Strict):
    """One dataset of ``data/datasets.yaml``."""

    title: str
    summary: str
    source: str
    files: dict[FileName, RawFile] = Field(default_factory=dict)
    parameters: dict[str, Any] = Field(default_factory=dict)
    obs: list[str]
    nullable: list[str] = Field(default_factory=list)
    library: str
    """The ``obs`` column of libraries, or ``single`` or ``unknown``."""
    expected: Expected
    licence: Licence
    citation: Citation
    accession: str = ""
    tissue: str = ""
    organism: str

    @model_validator(mode="after")
    def _files_or_parameters(self) -> "DatasetRecord":
        if bool(self.files) == bool(self.parameters):
            raise ValueError("give either `files` to download or `parameters` to simulate from")
        return self

    @model_validator(mode="after")
    def _known_library(self) -> "DatasetRecord":
        known = [*self.obs, *LIBRARY_WORDS]
        if self.library not in known:
            raise ValueError(f"`library` must be one of {known}, not {self.library!r}")
        return self


class ResourceRecord(Strict):
    """One outside table of ``data/resources.yaml``: a gene-set collection, a prior, a vocabulary.

    A table, no dataset: it has no cells, no contract and no board.
    """

    title: str
    summary: str
    files: Annotated[dict[FileName, RawFile], Field(min_length=1)]
    licence: Licence
    citation: Citation

    @property
    def sha256(self) -> str:
        """SHA-256 over the sorted names and hashes of the files: all that decides what is read."""
        lines = [f"{name} {file.sha256}\n" for name, file in sorted(self.files.items())]
        return hashlib.sha256("".join(lines).encode()).hexdigest()


class _Resources(Strict):
    resources: dict[Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")], ResourceRecord]


def _validated(model: type[BaseModel], value: Any, where: str) -> Any:
    try:
        return model.model_validate(value)
    except ValidationError as error:
        details = "; ".join(
            f"{'.'.join(map(str, e['loc'])) or 'record'}: {e['msg']} (got {e['input']!r:.80})"
            for e in error.errors()
        )
        raise ConfigError(f"{where}: {details}.") from error


def read_params(path: Path = layout.PARAMS) -> Params:
    """Read and check ``params.yaml``."""
    params: Params = _validated(Params, read_yaml(path), str(path))
    return params


def read_datasets(path: Path = layout.DATASETS) -> Mapping[str, Mapping[str, DatasetRecord]]:
    """Read and check ``data/datasets.yaml``: suite to dataset to record."""
    suites = read_yaml(path)
    found = sorted(suites) if isinstance(suites, Mapping) else suites
    if found != sorted(SUITES):
        raise ConfigError(f"{path}: expected the suites {sorted(SUITES)}, got {found}.")
    return {
        suite: {
            name: _validated(DatasetRecord, record, f"{path}: {suite}.{name}")
            for name, record in (suites[suite] or {}).items()
        }
        for suite in SUITES
    }


def read_dataset(suite: str, dataset: str) -> DatasetRecord:
    """Return the record of one dataset."""
    records = read_datasets().get(suite, {})
    if dataset not in records:
        raise UnknownNameError(
            f"{layout.DATASETS}: suite {suite!r} has no dataset {dataset!r}. "
            f"Known: {', '.join(records) or 'none'}."
        )
    return records[dataset]


def read_resources(path: Path = layout.RESOURCES) -> Mapping[str, ResourceRecord]:
    """Read and check ``data/resources.yaml``: resource to record."""
    checked: _Resources = _validated(_Resources, read_yaml(path), str(path))
    return checked.resources


def read_resource(name: str) -> ResourceRecord:
    """Return the record of one resource."""
    records = read_resources()
    if name not in records:
        raise UnknownNameError(
            f"{layout.RESOURCES} has no resource {name!r}. Known: {', '.join(records) or 'none'}. "
            "Add a record there, or correct the name."
        )
    return records[name]


def read_board_lock(dataset: str) -> dict[str, Any]:
    """Return the frozen constants of a dataset's boards, by board id; empty if none is frozen."""
    path = layout.board_lock(dataset)
    return dict(read_json(path)) if path.is_file() else {}


def read_board_locks() -> dict[str, Any]:
    """Return the frozen constants of every board, by board id."""
    paths = sorted(layout.BOARD_LOCKS.glob("*.json"))
    return {board: constants for path in paths for board, constants in read_json(path).items()}


def suite_of(dataset: str) -> Suite:
    """Return the suite that holds a dataset."""
    for suite, records in read_datasets().items():
        if dataset in records:
            return suite  # type: ignore[return-value]
    raise UnknownNameError(f"{layout.DATASETS} has no dataset {dataset!r}.")


def validated(model: type[BaseModel], value: Any, where: str) -> Any:
    """Check ``value`` against a schema; every fault is named in one ConfigError."""
    return _validated(model, value, where)
