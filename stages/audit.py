"""Check the splits and cases of one dataset for leaks."""

import sys

from leaderboard import layout
from leaderboard.audit import audit_dataset
from leaderboard.command import run
from leaderboard.config import read_dataset, read_params
from leaderboard.io import write_json


def main(suite: str, dataset: str) -> None:
    """Write every finding; an error unranks its board."""
    boards, library = read_params().boards_of(dataset), read_dataset(suite, dataset).library
    findings = audit_dataset(suite, dataset, boards, library)
    write_json(layout.audit(suite, dataset), findings)


if __name__ == "__main__":
    run(main, sys.argv[1:])
