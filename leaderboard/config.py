"""The hand-written files, ``params.yaml`` and ``data/datasets.yaml``, as checked records."""

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from leaderboard import layout
from leaderboard.errors import ConfigError, UnknownNameError
from leaderboard.io import read_yaml
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


class DatasetRecord(Strict):
    """One dataset of ``data/datasets.yaml``."""

    title: str
    summary: str
    source: str
    files: dict[str, RawFile] = Field(default_factory=dict)
    parameters: dict[str, Any] = Field(default_factory=dict)
    obs: list[str]
    nullable: list[str] = Field(default_factory=list)
    library: str
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


def suite_of(dataset: str) -> Suite:
    """Return the suite that holds a dataset."""
    for suite, records in read_datasets().items():
        if dataset in records:
            return suite  # type: ignore[return-value]
    raise UnknownNameError(f"{layout.DATASETS} has no dataset {dataset!r}.")


def validated(model: type[BaseModel], value: Any, where: str) -> Any:
    """Check ``value`` against a schema; every fault is named in one ConfigError."""
    return _validated(model, value, where)
