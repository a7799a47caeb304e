"""Get the files of one outside table."""

import sys

from leaderboard import layout
from leaderboard.command import run
from leaderboard.config import read_resource
from leaderboard.download import fetch_files
from leaderboard.io import write_folder_then_rename


def main(name: str) -> None:
    """Write the folder of its files, whole or not at all."""
    record = read_resource(name)
    with write_folder_then_rename(layout.resource(name)) as folder:
        fetch_files(name, record.files, folder, layout.work("downloads"))


if __name__ == "__main__":
    run(main, sys.argv[1:])
