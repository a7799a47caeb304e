"""Get the files of a dataset or resource: a mirror first, then HTTPS; nothing unchecked is kept."""

import os
import shutil
from collections.abc import Mapping
from pathlib import Path

from leaderboard.config import RawFile
from leaderboard.errors import FetchError
from leaderboard.io import sha256_file, write_then_rename

MIRROR = "HELDOUT_MIRROR"
ATTEMPTS = 3


def fetch_files(owner: str, files: Mapping[str, RawFile], folder: Path, cache: Path) -> None:
    """Put every file of a record into ``folder`` under its own name.

    Parameters
    ----------
    owner
        The dataset or resource, for messages.
    cache
        Files named by their SHA-256 that survive an interrupted run, so that what was downloaded
        once is not downloaded again.

    Raises
    ------
    FetchError
        If a file cannot be had, or is not the one that the record names.
    """
    for name, record in files.items():
        source = _find(owner, name, record, cache)
        with write_then_rename(folder / name) as temporary:
            shutil.copyfile(source, temporary)


def _find(owner: str, name: str, record: RawFile, cache: Path) -> Path:
    mirror = os.environ.get(MIRROR)
    if mirror and (Path(mirror) / record.sha256).is_file():
        _check(f"{owner}: {name} in {MIRROR}", Path(mirror) / record.sha256, record)
        return Path(mirror) / record.sha256
    kept = cache / record.sha256
    if kept.is_file() and sha256_file(kept) == record.sha256:
        return kept
    _download(owner, name, record, kept)
    return kept


def _download(owner: str, name: str, record: RawFile, target: Path) -> None:
    import pooch  # noqa: PLC0415 (half a second that the mirror spares)
    import requests  # noqa: PLC0415

    pooch.get_logger().setLevel("WARNING")
    target.parent.mkdir(parents=True, exist_ok=True)
    target.unlink(missing_ok=True)
    fetcher = pooch.create(
        path=target.parent,
        base_url="",
        registry={target.name: None},
        urls={target.name: record.url},
        retry_if_failed=ATTEMPTS - 1,
    )
    with write_then_rename(target) as temporary:
        try:
            downloaded = fetcher.fetch(
                target.name, downloader=pooch.HTTPDownloader(progressbar=True, timeout=60)
            )
            Path(downloaded).replace(temporary)
        except requests.RequestException as error:
            raise FetchError(
                f"{owner}: {name} could not be downloaded from {record.url} after {ATTEMPTS} "
                f"attempts ({type(error).__name__}). Check the connection, or set {MIRROR} to a "
                f"folder that holds the file under its SHA-256, {record.sha256}."
            ) from error
        _check(f"{owner}: {name} from {record.url}", temporary, record)


def _check(what: str, path: Path, record: RawFile) -> None:
    size, digest = path.stat().st_size, sha256_file(path)
    if digest == record.sha256:
        return
    cause = "the file was changed at its source, or a page was served in its place"
    if size < record.bytes:
        cause = "the transfer was cut short"
    raise FetchError(
        f"{what}: wrong file. Expected SHA-256 {record.sha256} ({record.bytes} bytes), got "
        f"{digest} ({size} bytes). Likely cause: {cause}. Nothing was kept; run again, or check "
        "its record in data/datasets.yaml or data/resources.yaml."
    )
