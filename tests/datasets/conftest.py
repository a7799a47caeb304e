"""The real files of ``public_small``, laid out as fetch does and read once for all tests."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from leaderboard.datasets import SOURCES

if TYPE_CHECKING:
    from anndata import AnnData

DATASETS = Path(__file__).parents[2] / "data" / "datasets.yaml"


@pytest.fixture(scope="session")
def record_of() -> Callable[[str], dict[str, Any]]:
    """Get the record of a dataset by its name."""
    records: dict[str, dict[str, Any]] = yaml.safe_load(DATASETS.read_text())["public_small"]
    return records.__getitem__


@pytest.fixture(scope="session")
def raw_folder(
    tmp_path_factory: pytest.TempPathFactory, record_of: Callable[[str], dict[str, Any]]
) -> Callable[[str], Path]:
    """Lay out the raw files of a dataset under their own names."""
    mirror = os.environ.get("HELDOUT_MIRROR")
    if not mirror:
        pytest.skip("HELDOUT_MIRROR is not set: no folder of real files named by SHA-256")

    def lay_out(name: str) -> Path:
        folder = tmp_path_factory.mktemp(name)
        for file, facts in record_of(name)["files"].items():
            (folder / file).symlink_to(Path(mirror, facts["sha256"]).resolve())
        return folder

    return lay_out


@pytest.fixture(scope="session")
def read_real(raw_folder: Callable[[str], Path]) -> Callable[[str], "AnnData"]:
    """Read each dataset once; tests must not change what they get."""
    done: dict[str, AnnData] = {}

    def read_once(name: str) -> "AnnData":
        if name not in done:
            done[name] = SOURCES[name].read(raw_folder(name))
        return done[name]

    return read_once
