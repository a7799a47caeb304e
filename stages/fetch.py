"""Get the raw files of one dataset, or simulate it."""

import sys

from leaderboard import layout
from leaderboard.command import run
from leaderboard.config import read_dataset
from leaderboard.datasets import SOURCES
from leaderboard.download import fetch_files
from leaderboard.errors import ConfigError
from leaderboard.io import write_folder_then_rename


def main(suite: str, dataset: str) -> None:
    """Write the folder of raw files, whole or not at all."""
    record = read_dataset(suite, dataset)
    with write_folder_then_rename(layout.raw(suite, dataset)) as folder:
        if record.files:
            fetch_files(dataset, record.files, folder, layout.work("downloads"))
            return
        simulate = SOURCES[record.source].simulate
        if simulate is None:
            raise ConfigError(
                f"data/datasets.yaml: {suite}.{dataset} has parameters, but its source "
                f"{record.source!r} reads files and simulates nothing. Give `files` instead."
            )
        simulate(folder, record.parameters)


if __name__ == "__main__":
    run(main, sys.argv[1:])
