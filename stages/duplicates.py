"""Look for cells that two datasets of a suite share."""

import sys
from contextlib import ExitStack

from leaderboard import layout
from leaderboard.audit import CellCounts, find_shared, report_shared
from leaderboard.command import run
from leaderboard.config import read_datasets, read_params
from leaderboard.io import open_h5ad, write_folder_then_rename, write_json, write_parquet


def main(suite: str) -> None:
    """Write the findings of every dataset, and a table of all cells that are in two."""
    params = read_params()
    with ExitStack() as files:
        opened = {
            name: files.enter_context(open_h5ad(layout.clean(suite, name)))
            for name in sorted(read_datasets()[suite])
        }
        comparisons, table = find_shared(
            {
                name: CellCounts(counts=adata.X, cells=adata.obs_names, genes=adata.var_names)
                for name, adata in opened.items()
            }
        )
        with write_folder_then_rename(layout.shared_cells(suite)) as folder:
            for name, adata in opened.items():
                boards = params.boards_of(name)
                report = report_shared(name, boards, adata.obs, comparisons, table)
                write_json(folder / layout.duplicates(suite, name).name, report)
            write_parquet(folder / "cells.parquet", table)


if __name__ == "__main__":
    run(main, sys.argv[1:])
