"""Read one dataset's raw files, hold it to its contracts, and write it in canonical form."""

import sys

from leaderboard import layout
from leaderboard.command import run
from leaderboard.composition import composition
from leaderboard.config import read_dataset
from leaderboard.contracts import raise_if_broken, read_contracts
from leaderboard.counts import check_dataset
from leaderboard.datasets import SOURCES
from leaderboard.io import write_h5ad, write_json


def main(suite: str, dataset: str) -> None:
    """Write the clean dataset and its contract report; a broken promise stops without output."""
    record = read_dataset(suite, dataset)
    adata = SOURCES[record.source].read(layout.raw(suite, dataset))
    adata.obs.index.name = "cell_id"
    reports = check_dataset(
        adata,
        dataset=dataset,
        record=record.model_dump(),
        contracts=read_contracts(layout.CONTRACTS),
    )
    raise_if_broken(reports)
    adata.obs = adata.obs[record.obs]
    write_h5ad(layout.clean(suite, dataset), adata)
    report = {
        "dataset": dataset,
        "cells": int(adata.n_obs),
        "genes": int(adata.n_vars),
        "contracts": reports,
        "composition": composition(adata.obs),
    }
    write_json(layout.validation(suite, dataset), report)


if __name__ == "__main__":
    run(main, sys.argv[1:])
