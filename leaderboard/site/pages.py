"""Turn records into pages. Nothing here reads a clock, a network or a file but the templates."""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from leaderboard.errors import ConfigError
from leaderboard.site import text
from leaderboard.site.atlas import build_atlas
from leaderboard.site.boards import BoardPage, build_board
from leaderboard.site.datasets import DatasetPage, build_dataset
from leaderboard.site.entries import EntryPage, build_entry
from leaderboard.site.front import build_front
from leaderboard.site.overview import build_overview
from leaderboard.site.records import SiteData

FOLDER = Path(__file__).parent
SAFE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")
"""What may become a file name and a link."""


def _environment() -> Environment:
    env = Environment(
        loader=FileSystemLoader(FOLDER / "templates"),
        undefined=StrictUndefined,
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    env.globals["text"] = text
    env.tests["https"] = is_https
    return env


def is_https(url: object) -> bool:
    """Whether a link from data may become an anchor."""
    return isinstance(url, str) and re.fullmatch(r"https://[^\s\"'<>\\]+", url) is not None


_ENV = _environment()


def build_pages(data: SiteData) -> dict[str, str]:
    """Return every page of the site and the JSON beside them, by path under the site's root."""
    for name in [*data.standings, *data.entries, *data.datasets]:
        if not SAFE_NAME.fullmatch(name):
            raise ConfigError(f"{name!r} cannot be a page's name; expected {SAFE_NAME.pattern}.")
    boards = {name: build_board(data, name) for name in sorted(data.standings)}
    entries = {name: build_entry(data, boards, name) for name in sorted(data.entries)}
    datasets = {name: build_dataset(data, boards, name) for name in data.datasets}
    owners = _owners(data)
    pages = {
        **_boards(data, boards, owners),
        **_entries(data, entries),
        **_datasets(data, datasets),
        "index.html": _render(
            "index.html", data, root="", front=build_front(data, boards, entries), here="boards"
        ),
        "trust.html": _render(
            "trust.html", data, root="", overview=build_overview(data, boards), here="trust"
        ),
        "failures.html": _render(
            "atlas.html", data, root="", atlas=build_atlas(data, boards), here="failures"
        ),
        "method.html": _render("method.html", data, root="", here="method"),
    }
    api = {
        f"api/v1/standings/{name}.json": f"{json.dumps(found, indent=1, sort_keys=True)}\n"
        for name, found in sorted(data.standings.items())
    }
    api |= {
        f"api/v1/failures/{name}.json": f"{json.dumps(found, indent=1, sort_keys=True)}\n"
        for name, found in sorted(data.failures.items())
    }
    return dict(sorted({**pages, **api}.items()))


def static_files() -> dict[str, str]:
    """Return the files that pages load, by path under the site's root."""
    files = sorted((FOLDER / "static").iterdir())
    return {f"static/{path.name}": path.read_text(encoding="utf-8") for path in files}


def render_fragment(template: str, macro: str, *arguments: Any) -> str:
    """Return what one macro writes; tests compare it with golden files."""
    return str(getattr(_ENV.get_template(template).module, macro)(*arguments))


def _render(template: str, data: SiteData, **context: Any) -> str:
    return _ENV.get_template(template).render(release=data.release, **context)


def _owners(data: SiteData) -> dict[str, str]:
    """Return the entry whose page tells of a row: its own, or that of the control entries."""
    owners = {name: name for name, entry in data.entries.items() if not entry.is_controls}
    for name, entry in data.entries.items():
        if entry.is_controls:
            owners.update(dict.fromkeys(entry.facts["plugins"], name))
    return owners


def _boards(
    data: SiteData, boards: Mapping[str, BoardPage], owners: Mapping[str, str]
) -> dict[str, str]:
    return {
        f"boards/{name}.html": _render(
            "board.html",
            data,
            root="../",
            page=page,
            owners=owners,
            names={key: entry.facts["name"] for key, entry in data.entries.items()},
            here="boards",
        )
        for name, page in boards.items()
    }


def _entries(data: SiteData, entries: Mapping[str, EntryPage]) -> dict[str, str]:
    return {
        f"entries/{name}.html": _render("entry.html", data, root="../", page=page, here="entries")
        for name, page in entries.items()
    }


def _datasets(data: SiteData, datasets: Mapping[str, DatasetPage]) -> dict[str, str]:
    pages = {
        f"datasets/{name}.html": _render(
            "dataset.html", data, root="../", page=page, here="datasets"
        )
        for name, page in datasets.items()
    }
    index = _render("datasets.html", data, root="../", datasets=datasets, here="datasets")
    return {**pages, "datasets/index.html": index}
