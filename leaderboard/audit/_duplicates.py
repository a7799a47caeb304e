"""Cells of one dataset that are copies of another cell, and copies on both sides of a fold.

Exact copies have equal counts; near copies differ in a few molecules (lost, or drawn anew), as a
cell that was processed twice or noised to hide it. Both are errors across roles where cells drawn
apart would not be as alike (``_chance``), at ``LEVEL`` over all pairs of the dataset, so that sound
data raise none. Equal cells that chance may explain are a warning, nearly equal ones are passed
over. Cells with fewer than ``MIN_COUNTS`` counts are not looked at: they are alike by chance.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float, Int, UInt64
from scipy import sparse

from leaderboard.audit._chance import distances, log_chance, log_threshold
from leaderboard.audit._hashing import (
    gene_coefficients,
    group_equal,
    hash_block,
    iterate_rows,
    take_rows,
    total_counts,
)
from leaderboard.audit._neighbours import DIMENSIONS, Sketch, directions, near_pairs, project_block
from leaderboard.audit._record import Copies, Finding, FoldFiles, finding
from leaderboard.splits import SPLITTERS

MIN_COUNTS = 50
LEVEL = 1e-3
"""Chance that any pair of a dataset's cells, all drawn apart, is called a copy: an upper bound."""
MIN_SCALE = 0.05
"""Genes found per molecule are taken for at least this: one molecule moved to another gene weighs
more the deeper a cell is."""
MAX_PAIRS = 100_000
"""Near candidates looked at closely, nearest first; beyond them numbers are lower bounds."""
PART = 10_000
"""Pairs whose counts are in memory at a time."""
SEEN = ("train", "validation", "control_input")
SCORED = ("test", "control_truth")

Rows = Int[np.ndarray, " pairs"]


@dataclass(frozen=True, kw_only=True)
class _Scan:
    """What one pass over the counts keeps."""

    hashes: UInt64[np.ndarray, "cells 2"]
    total: Float[np.ndarray, " cells"]
    sketch: Sketch


def find_copies(counts: Any, cells: Sequence[str], genes: Sequence[str]) -> Copies:
    """Look for copies among the cells of one dataset.

    Parameters
    ----------
    counts
        Whole counts, cells x genes: a matrix in memory, or one in a file that gives rows by slices.
    cells, genes
        Names of its rows and columns.
    """
    scan = _scan(counts, genes)
    names = np.asarray(cells, dtype=object).astype(str)
    deep = np.flatnonzero(scan.total >= MIN_COUNTS)
    limit = log_threshold(LEVEL, len(deep) * (len(deep) - 1) / 2)
    first = deep[group_equal(scan.hashes[deep])]
    is_later = first != deep
    one, other = first[is_later], deep[is_later]
    is_doubtful = _log_chances(counts, one, other)[0] > limit
    near = _near(counts, scan.sketch, deep[~is_later], limit)
    near_table = {"one": names[near[0]], "other": names[near[1]], "distance": near[2]}
    return Copies(
        equal=_groups(names, one, other),
        doubtful=frozenset(names[np.concatenate([one[is_doubtful], other[is_doubtful]])]),
        near=pd.DataFrame(near_table),
        shallow=frozenset(names[scan.total < MIN_COUNTS]),
    )


def _scan(counts: Any, genes: Sequence[str]) -> _Scan:
    """Hash, weigh and project every cell, in one pass."""
    n_cells = counts.shape[0]
    coefficients, along = gene_coefficients(genes), directions(len(genes))
    hashes = np.empty((n_cells, 2), dtype=np.uint64)
    total, found = np.empty(n_cells), np.empty(n_cells)
    place = np.empty((n_cells, DIMENSIONS), dtype=np.float32)
    for rows, block in iterate_rows(counts):
        hashes[rows] = hash_block(block, coefficients)
        total[rows] = total_counts(block)
        found[rows] = np.diff(block.indptr)
        place[rows] = project_block(block, along)
    scale = np.maximum(found / np.maximum(total, 1.0), MIN_SCALE)
    return _Scan(hashes=hashes, total=total, sketch=Sketch(place=place, scale=scale))


def _near(
    counts: Any, sketch: Sketch, rows: Rows, limit: float
) -> tuple[Rows, Rows, Float[np.ndarray, " pairs"]]:
    """Return the pairs among some rows that chance does not bring so near, and their distance."""
    pairs = rows[near_pairs(Sketch(place=sketch.place[rows], scale=sketch.scale[rows]))]
    if len(pairs) > MAX_PAIRS:
        apart = sketch.place[pairs[:, 0]] - sketch.place[pairs[:, 1]]
        pairs = pairs[np.sort(np.argsort((apart**2).sum(axis=1), kind="stable")[:MAX_PAIRS])]
    chance, distance = _log_chances(counts, pairs[:, 0], pairs[:, 1])
    keep = chance <= limit
    return pairs[keep, 0], pairs[keep, 1], distance[keep]


def _log_chances(
    counts: Any, one: Rows, other: Rows
) -> tuple[Float[np.ndarray, " pairs"], Float[np.ndarray, " pairs"]]:
    """Return the log chance and the distance of pairs of rows; only their rows are read."""
    chance, distance = np.empty(len(one)), np.empty(len(one))
    for start in range(0, len(one), PART):
        part = slice(start, start + PART)
        rows = np.unique(np.concatenate([one[part], other[part]]))
        values = sparse.csr_matrix(take_rows(counts, rows), dtype=np.float64)
        a = values[np.searchsorted(rows, one[part])]
        b = values[np.searchsorted(rows, other[part])]
        chance[part], distance[part] = log_chance(a, b), distances(a, b)
    return chance, distance


def _groups(names: np.ndarray, first: Rows, later: Rows) -> "pd.Series[str]":
    """Return every cell of a group of equal ones beside the first of it."""
    firsts = np.unique(first)
    rows = np.concatenate([firsts, later])
    return pd.Series(
        names[np.concatenate([firsts, first])], index=names[rows], name="first", dtype=object
    )


def check_duplicates(files: FoldFiles) -> Iterator[Finding]:
    """Look for cells that scores use and whose copy models are shown."""
    if not SPLITTERS[files.board.split].holds_out:
        ok = finding(files, "duplicates", [], "")
        yield replace(ok, message="no cell is held out, so no copy can be on both sides")
        return
    if files.copies is None:
        unknown = finding(files, "duplicates", ["counts"], "", "warning")
        yield replace(unknown, message="nobody looked for copies: the counts were not given")
        return
    # A cell with two roles is the roles check's to find.
    roles = files.roles.drop_duplicates("cell_id")
    root = roles["cell_id"].map(files.copies.equal).fillna(roles["cell_id"])
    roles = roles.assign(root=root.to_numpy())
    seen = roles.loc[roles["role"].isin(SEEN), ["root", "role"]].drop_duplicates()
    scored = roles[roles["role"].isin(SCORED)]
    n_shallow = int(roles["cell_id"].isin(files.copies.shallow).sum())
    equal = scored.merge(seen, on="root")
    is_doubtful = equal["cell_id"].isin(files.copies.doubtful)
    yield _finding(files, equal[~is_doubtful], "equal to", n_shallow)
    if is_doubtful.any():
        found = _finding(files, equal[is_doubtful], "with few molecules equal to", n_shallow)
        said = f"{found.message}; chance may make them so"
        yield replace(found, severity="warning", message=said)
    yield _finding(files, _across(scored, seen, files.copies.near), "nearly equal to", n_shallow)


def _across(scored: pd.DataFrame, seen: pd.DataFrame, near: pd.DataFrame) -> pd.DataFrame:
    """Return the scored cells that have a near copy on the other side, with its role."""
    turned = near.rename(columns={"one": "other", "other": "one"})
    pairs = pd.concat([near, turned]).rename(columns={"one": "root"})
    found = scored.merge(pairs, on="root")
    return found.merge(seen, left_on="other", right_on="root")


def _finding(files: FoldFiles, found: pd.DataFrame, how: str, n_shallow: int) -> Finding:
    """Return the finding on one kind of copies: rows ``cell_id role_x role_y``."""
    cells = sorted(found["cell_id"].unique())
    what = f"scored cell(s) {how} a cell that models see"
    made = finding(files, "duplicates", cells, what)
    parts = [
        f"{scored} and {seen}: {rows['cell_id'].nunique()}"
        for (scored, seen), rows in found.groupby(["role_x", "role_y"])
    ]
    said = [made.message, *parts]
    if n_shallow:
        said.append(f"{n_shallow} cell(s) with fewer than {MIN_COUNTS} counts not compared")
    return replace(made, message="; ".join(said))
