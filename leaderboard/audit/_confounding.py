"""Checks of what else differs between the sides: labels never seen, units of one label, people."""

from collections.abc import Iterator
from dataclasses import replace

import pandas as pd

from leaderboard.audit._record import Finding, FoldFiles, finding
from leaderboard.cases import select
from leaderboard.splits import SPLITTERS

LABEL = "cell_type"
DONOR = "donor_id"
TRAINING = ("train", "validation")


def check_confounding(files: FoldFiles) -> Iterator[Finding]:
    """Look for labels that cannot be told from the groups, and for people on both sides."""
    if files.board.task != "cell_type_annotation":
        return
    yield _unseen_labels(files)
    yield _units_of_one_label(files)
    if SPLITTERS[files.board.split].column(files.board) not in {None, DONOR}:
        yield from _people(files)


def _values(files: FoldFiles, column: str) -> tuple["pd.Series[str]", "pd.Series[str]"]:
    """Return the known values of a column over training and over test cells."""
    value = files.obs[column].reindex(files.roles["cell_id"]).astype(object)
    is_training = files.roles["role"].isin(TRAINING).to_numpy()
    is_test = (files.roles["role"] == "test").to_numpy()
    return value[is_training].dropna().astype(str), value[is_test].dropna().astype(str)


def _unseen_labels(files: FoldFiles) -> Finding:
    """Look for a test set whose labels are all new: nobody can name them."""
    trained, tested = _values(files, LABEL)
    bad = [] if tested.isin(trained.unique()).any() else sorted(tested.unique())
    return finding(
        files, "confounding", bad, "label(s) of test cells, and training holds none of them"
    )


def _units_of_one_label(files: FoldFiles) -> Finding:
    """Look for a board where the unit gives the label away in every unit."""
    cells = select(files.obs, files.board)
    cells = cells[cells[LABEL].notna()]
    n_labels = cells[LABEL].astype(str).groupby(cells[files.board.unit].astype(str)).nunique()
    bad = [] if (n_labels > 1).any() else list(n_labels.index)
    what = f"{files.board.unit} value(s), and none holds two labels"
    return finding(files, "confounding", bad, what)


def _people(files: FoldFiles) -> Iterator[Finding]:
    """Count donors in training and in test: what transfers may be the person."""
    if DONOR not in files.obs:
        return
    trained, tested = _values(files, DONOR)
    shared = sorted(set(trained) & set(tested))
    found = finding(files, "confounding", shared, "donor(s) in training and in test", "warning")
    if shared:
        n = int(tested.isin(shared).sum())
        said = f"{found.message}: {n} of {len(tested)} test cells are of people trained on"
        found = replace(found, message=said)
    yield found
