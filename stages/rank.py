"""Turn score and failure tables of both suites into standings and failures of every board."""

import sys

from leaderboard import layout
from leaderboard.command import run
from leaderboard.config import read_board_locks, read_params
from leaderboard.inference.collect import collect, ignored
from leaderboard.inference.failures import build_failures
from leaderboard.inference.standings import build_standings
from leaderboard.io import write_folder_then_rename, write_json


def main() -> None:
    """Write the standings; say which score tables belong to no entry of the tree."""
    known = sorted(folder.name for folder in layout.ENTRIES.iterdir() if folder.is_dir())
    for path in ignored(known):
        sys.stderr.write(f"{path}: ignored, its entry is not in {layout.ENTRIES}.\n")
    evidence = collect(read_params(), read_board_locks(), known)
    twins = {e.board.grouped_id: e for e in evidence if e.board.is_random}
    with write_folder_then_rename(layout.STANDINGS) as folder:
        for item in evidence:
            board = item.board
            twin = None if board.is_random else twins.get(board.id)
            standings = build_standings(item, twin)
            write_json(folder / f"{board.id}.json", standings)
            if not board.is_random:
                failures = build_failures(item, standings["sorted_by"])
                write_json(folder / layout.FAILURES.name / f"{board.id}.json", failures)


if __name__ == "__main__":
    run(main, sys.argv[1:])
