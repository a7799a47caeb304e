"""Check the splits and cases of one dataset for leaks."""

import sys

from leaderboard import layout
from leaderboard.audit import audit_dataset, audit_similarity
from leaderboard.command import run
from leaderboard.config import read_dataset, read_params
from leaderboard.io import write_json, write_parquet


def main(suite: str, dataset: str) -> None:
    """Write every finding, of which an error unranks its board, and how new test units are."""
    boards, library = read_params().boards_of(dataset), read_dataset(suite, dataset).library
    findings = audit_dataset(suite, dataset, boards, library)
    similar, novelty = audit_similarity(suite, dataset, boards)
    write_parquet(layout.novelty(suite, dataset), novelty)
    write_json(layout.audit(suite, dataset), [*findings, *similar])


if __name__ == "__main__":
    run(main, sys.argv[1:])
