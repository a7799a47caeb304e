"""The only door to files: everything is written under a temporary name, then renamed.

Tables between stages are checked here against their schema, on the way in and on the way out.
"""

import csv
import errno
import gzip
import hashlib
import json
import os
import shutil
import tempfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import numpy as np
import pandas as pd
import yaml

from leaderboard.errors import ConfigError, HeldoutError, TableError
from leaderboard.spec import ROLES, Status

if TYPE_CHECKING:
    from anndata import AnnData

SCORE_COLUMNS = [
    "entry", "board", "fold", "seed", "metric", "unit", "stratum", "value", "n", "status", "reason",
]  # fmt: skip
SCORE_KEY = SCORE_COLUMNS[:7]
FAILURE_COLUMNS = [
    "entry", "board", "fold", "seed", "kind", "unit", "subject", "position", "key", "value", "n",
]  # fmt: skip
FAILURE_KINDS = (
    "confusion", "top_gene", "confident_error", "calibration", "protein", "type_error",
    "false_edge", "missed_edge", "unmixed_label", "gene_error", "direction",
)  # fmt: skip


@contextmanager
def write_then_rename(path: Path) -> Iterator[Path]:
    """Yield a unique temporary name beside ``path``; rename it on success, delete it otherwise.

    Unique, because the orphan of a killed run may still be writing to its own.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent)
    os.close(handle)
    temporary = Path(name)
    temporary.chmod(0o644)
    try:
        yield temporary
        temporary.replace(path)
    except OSError as error:
        raise HeldoutError(
            f"{path}: could not be written ({error.strerror or error}). Nothing was kept; "
            "free disk space or raise the file size limit, then run again."
        ) from error
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def write_folder_then_rename(path: Path) -> Iterator[Path]:
    """Yield a unique temporary folder beside ``path``; put it in place of ``path`` on success."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent))
    temporary.chmod(0o755)
    try:
        yield temporary
        if path.exists():
            shutil.rmtree(path)
        temporary.replace(path)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 text with Unix line ends."""
    with write_then_rename(path) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="\n")


def write_packed(path: Path, text: str) -> None:
    """Write UTF-8 text compressed with gzip, without a time stamp."""
    with write_then_rename(path) as temporary:
        temporary.write_bytes(gzip.compress(text.encode(), mtime=0))


def _unpacked(path: Path) -> bytes:
    """Return the bytes of a file, of a gzip file those that it holds."""
    try:
        content = path.read_bytes()
        return gzip.decompress(content) if path.suffix == ".gz" else content
    except (OSError, EOFError, zlib.error) as error:
        raise TableError(f"{path}: cannot be read ({error}).") from error


def sha256_text(path: Path) -> str:
    """SHA-256 of a table's bytes, in hex; the same whether it is compressed or not."""
    return hashlib.sha256(_unpacked(path)).hexdigest()


def write_json(path: Path, value: Any) -> None:
    """Write indented JSON with sorted keys; NaN and infinity are refused."""
    write_text(path, json.dumps(value, indent=1, sort_keys=True, allow_nan=False) + "\n")


def read_json(path: Path) -> Any:
    """Read JSON; a broken or missing file is one clear error."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path}: cannot be read as JSON ({error}).") from error


class _UniqueKeys(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """A safe loader that refuses a key written twice, instead of keeping the last.

    In C where PyYAML has it: lock files are long.
    """


def _unique_mapping(loader: _UniqueKeys, node: yaml.MappingNode) -> dict[Any, Any]:
    keys = [loader.construct_object(key, deep=True) for key, _ in node.value]
    twice = sorted({str(key) for key in keys if keys.count(key) > 1})
    if twice:
        where = node.start_mark
        raise ConfigError(f"{where.name}, line {where.line + 1}: key written twice: {twice}.")
    mapping: dict[Any, Any] = loader.construct_mapping(node, deep=True)
    return mapping


_UniqueKeys.add_constructor("tag:yaml.org,2002:map", _unique_mapping)


def read_yaml(path: Path) -> Any:
    """Read YAML safely; duplicate keys and broken syntax are one clear error."""
    try:
        with path.open(encoding="utf-8") as stream:
            return yaml.load(stream, Loader=_UniqueKeys)  # noqa: S506 (a subclass of SafeLoader)
    except (OSError, ValueError, yaml.YAMLError) as error:
        detail = " ".join(str(error).split())
        raise ConfigError(f"{path}: cannot be read as YAML ({detail}).") from error


def sha256_file(path: Path) -> str:
    """SHA-256 of a file's bytes, in hex."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def sha256_folder(path: Path) -> str:
    """SHA-256 over the sorted relative names and contents of a folder's files."""
    lines = [
        f"{file.relative_to(path).as_posix()} {sha256_file(file)}\n"
        for file in sorted(path.rglob("*"))
        if file.is_file()
    ]
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def write_parquet(path: Path, table: pd.DataFrame) -> None:
    """Write a table without its index; equal tables give equal bytes."""
    import pyarrow as pa  # noqa: PLC0415
    import pyarrow.parquet as pq  # noqa: PLC0415

    is_text = [dtype.kind not in "iufb" for dtype in table.dtypes]
    arrays = [
        pa.array(values.astype(str), pa.string()) if text else pa.array(values.to_numpy())
        for (_, values), text in zip(table.items(), is_text, strict=True)
    ]
    names = list(map(str, table.columns))
    columns = pa.Table.from_arrays(arrays, names=names)
    with write_then_rename(path) as temporary:
        # Profiles have a column a gene: per-column extras would outweigh the values.
        pq.write_table(
            columns,
            temporary,
            compression="zstd",
            use_dictionary=[n for n, text in zip(names, is_text, strict=True) if text],
            write_statistics=False,
            store_schema=False,
        )


def read_parquet(path: Path, columns: Sequence[str] | None = None) -> pd.DataFrame:
    """Read a table; a missing or broken file is one clear error."""
    try:
        return pd.read_parquet(path, columns=list(columns) if columns else None)
    except (OSError, ValueError) as error:
        raise TableError(f"{path}: cannot be read as parquet ({error}).") from error


def write_h5ad(path: Path, adata: "AnnData") -> None:
    """Write an AnnData with light compression; equal content gives equal bytes.

    Not with LZF: its filter leaves its table uninitialised, so that bytes differ between runs.
    """
    with write_then_rename(path) as temporary:
        try:
            adata.write_h5ad(temporary, compression="gzip", compression_opts=1)
        except RuntimeError as error:  # what HDF5 makes of a disk that fills up while it closes
            raise OSError(errno.EIO, str(error)) from error


def read_h5ad(path: Path) -> "AnnData":
    """Read an AnnData; a missing or broken file is one clear error."""
    from anndata import read_h5ad as read  # noqa: PLC0415 (a second that not every stage needs)

    try:
        return read(path)
    except (OSError, KeyError, ValueError) as error:
        raise TableError(f"{path}: cannot be read as h5ad ({error}).") from error


@contextmanager
def open_h5ad(path: Path) -> Iterator["AnnData"]:
    """Open an AnnData whose counts stay in the file: slices of its rows are read when asked for."""
    from anndata import read_h5ad as read  # noqa: PLC0415

    try:
        adata = read(path, backed="r")
    except (OSError, KeyError, ValueError) as error:
        raise TableError(f"{path}: cannot be read as h5ad ({error}).") from error
    try:
        yield adata
    finally:
        adata.file.close()


def read_h5ad_annotations(path: Path) -> "AnnData":
    """Read all of an AnnData but its counts, which stay in the file; it is closed on return."""
    with open_h5ad(path) as adata:
        return adata


def _write_csv(path: Path, table: pd.DataFrame, columns: Sequence[str]) -> None:
    order = [c for c in columns if c not in {"value", "n", "status", "reason"}]
    table = table.loc[:, list(columns)].sort_values(order, kind="stable")
    text = table.select_dtypes(exclude="number").astype(str)
    # Quoting where needed does not see a bare carriage return, and readers take it for a new line.
    has_return = any(text[c].str.contains("\r", regex=False).any() for c in text)
    with write_then_rename(path) as temporary:
        table.to_csv(
            temporary, index=False, float_format="%.10g", lineterminator="\n",
            quoting=csv.QUOTE_ALL if has_return else csv.QUOTE_MINIMAL,
        )  # fmt: skip


def write_scores(path: Path, table: pd.DataFrame) -> None:
    """Check and write a score table: sorted rows, ``%.10g``."""
    check_scores(table, path)
    _write_csv(path, table, SCORE_COLUMNS)


def write_failures(path: Path, table: pd.DataFrame) -> None:
    """Check and write a failure table: sorted rows, ``%.10g``."""
    _expect_columns(table, FAILURE_COLUMNS, path)
    unknown = sorted(set(table["kind"]) - set(FAILURE_KINDS))
    if unknown:
        raise TableError(f"{path}: unknown kind {unknown}; known: {list(FAILURE_KINDS)}.")
    _write_csv(path, table, FAILURE_COLUMNS)


_NUMBERS = ("fold", "seed", "position", "value", "n")


def read_scores(path: Path) -> pd.DataFrame:
    """Read and check a score table; blank values are NaN."""
    table = _read_csv(path)
    check_scores(table, path)
    return table


def read_failures(path: Path) -> pd.DataFrame:
    """Read a failure table."""
    table = _read_csv(path)
    _expect_columns(table, FAILURE_COLUMNS, path)
    return table


def _read_csv(path: Path) -> pd.DataFrame:
    """Read text as text: a unit called ``101`` or ``NA`` stays what it is."""
    try:
        table = pd.read_csv(path, dtype="str", keep_default_na=False)
        for column in set(_NUMBERS) & set(table.columns):
            table[column] = pd.to_numeric(table[column])
    except (OSError, ValueError) as error:
        raise TableError(f"{path}: cannot be read as a table ({error}).") from error
    return table


def check_scores(table: pd.DataFrame, path: Path) -> None:
    """Raise TableError unless the table keeps the schema of a score table."""
    _expect_columns(table, SCORE_COLUMNS, path)
    unknown = sorted(set(table["status"]) - set(get_args(Status)))
    if unknown:
        raise TableError(f"{path}: unknown status {unknown}; known: {list(get_args(Status))}.")
    twice = table[table.duplicated(SCORE_KEY)]
    if len(twice):
        row = twice.iloc[0][SCORE_KEY].to_dict()
        raise TableError(f"{path}: {len(twice)} row(s) repeat a key, the first is {row}.")
    ok = (table["status"] == "ok").to_numpy()
    values = table["value"].to_numpy(dtype=float)
    wrong = table[(ok != ~np.isnan(values)) | np.isinf(values)]
    if len(wrong):
        row = wrong.iloc[0].to_dict()
        raise TableError(f"{path}: a finite value if and only if the status is ok, but {row}.")


def read_roles(path: Path) -> pd.DataFrame:
    """Read and check the role table of a split."""
    table = read_parquet(path)
    check_roles(table, path)
    return table


def check_roles(table: pd.DataFrame, path: Path) -> None:
    """Raise TableError unless the table keeps the schema of a split."""
    _expect_columns(table, ["cell_id", "fold", "role"], path)
    unknown = sorted(set(table["role"]) - set(ROLES))
    if unknown:
        raise TableError(f"{path}: unknown role {unknown}; known: {list(ROLES)}.")


def _expect_columns(table: pd.DataFrame, columns: Sequence[str], path: Path) -> None:
    if list(table.columns) != list(columns):
        raise TableError(
            f"{path}: expected the columns {list(columns)}, got {list(table.columns)}."
        )


def as_plain(mapping: Mapping[str, Any]) -> dict[str, Any]:
    """Round numbers as they are frozen (``%.10g``), so that equal constants are equal text."""
    return {key: _plain(value) for key, value in mapping.items()}


def _plain(value: Any) -> Any:
    if isinstance(value, bool) or value is None or isinstance(value, str | int):
        return value
    if isinstance(value, float):
        return float(f"{value:.10g}")
    if isinstance(value, Mapping):
        return as_plain(value)
    return [_plain(item) for item in value]
