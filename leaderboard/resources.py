"""Outside tables on disk: held to their record before a model sees where they lie."""

from collections.abc import Iterable
from pathlib import Path

from leaderboard import layout
from leaderboard.config import ResourceRecord, read_resource
from leaderboard.errors import ResourceError
from leaderboard.io import sha256_file


def resource_folders(names: Iterable[str]) -> dict[str, Path]:
    """Return the folder of every named resource.

    Raises
    ------
    UnknownNameError
        If ``data/resources.yaml`` has no such record.
    ResourceError
        If a file is missing or differs from its record, or the folder holds something else too.
    """
    folders = {}
    for name in sorted(set(names)):
        record, folders[name] = read_resource(name), layout.resource(name)
        _check(name, record, folders[name])
    return folders


def _check(name: str, record: ResourceRecord, folder: Path) -> None:
    again = f"Run `python -m stages.resource {name}` to get it anew."
    held = {path.name for path in folder.iterdir()} if folder.is_dir() else set()
    if held != set(record.files):
        raise ResourceError(
            f"{folder}: expected {sorted(record.files)}, as {layout.RESOURCES} names them, got "
            f"{sorted(held) or 'nothing'}. {again}"
        )
    for file, expected in record.files.items():
        got = sha256_file(folder / file)
        if got != expected.sha256:
            raise ResourceError(
                f"{folder / file}: wrong file. Expected SHA-256 {expected.sha256}, as "
                f"{layout.RESOURCES} says, got {got}. {again}"
            )
