"""Write the site from standings, run records, reports and committed results."""

import sys

from leaderboard import layout
from leaderboard.command import run
from leaderboard.config import read_params
from leaderboard.io import write_folder_then_rename, write_text
from leaderboard.site.collect import collect
from leaderboard.site.pages import build_pages, static_files
from leaderboard.submission.entry import read_entries


def main() -> None:
    """Write every page under ``public``."""
    entries = {
        name: entry.model_dump(mode="json", by_alias=True) for name, entry in read_entries().items()
    }
    data = collect(read_params(), entries)
    with write_folder_then_rename(layout.SITE) as folder:
        for path, content in {**build_pages(data), **static_files()}.items():
            write_text(folder / path, content)


if __name__ == "__main__":
    run(main, sys.argv[1:])
