"""Turn the score tables of both suites into one standings file a board."""

import sys

from leaderboard import layout
from leaderboard.command import run
from leaderboard.config import read_board_locks, read_params
from leaderboard.inference.collect import collect, ignored
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
            write_json(folder / f"{board.id}.json", build_standings(item, twin))


if __name__ == "__main__":
    run(main, sys.argv[1:])
