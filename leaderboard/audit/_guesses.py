"""Simple classifiers try to guess what test cells hide from their ids and the order of rows.

They are fitted on what training cells show and asked for all test cells of a fold, then fitted on
one half of the test cells besides and asked for the other half. Where ids and order tell nothing,
labels are dealt at random over the test cells, so that guesses are right as often as for shuffled
labels. That chance is exact (hypergeometric, one label after the other) and needs no shuffling.
``LEVEL`` holds for all columns, classifiers and fits of a fold together. What is looked for: one
digit of the id, all digits together, the label of the nearest row, the part of the file. A label
that is hidden by a cipher is not found.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Int
from scipy.special import xlogy
from scipy.stats import chi2, hypergeom

from leaderboard.audit._record import Finding, FoldFiles, finding

HIDDEN = ("cell_type", "donor_id", "batch")
"""Columns of the clean dataset that test cells do not show."""
LEVEL = 1e-4
"""Chance that a clean fold raises an error, at most."""
MIN_CELLS = 20
MAX_CELLS = 20_000
"""The first rows: neighbours must stay neighbours."""
MAX_BYTES = 64
POSITIONS = 32
"""Parts of the order of rows that have label frequencies of their own."""
SEED = 20261

Labels = Int[np.ndarray, " cells"]


@dataclass(frozen=True, kw_only=True)
class _Guess:
    """How often one classifier was right about one column."""

    column: str
    n_right: int
    n_cells: int
    expected: float
    log_p: float


@dataclass(frozen=True, kw_only=True)
class _Rows:
    """The first rows of a fold's inputs."""

    hidden: pd.DataFrame
    """Columns that test cells hide, index the ids: true values of test cells, the shown ones of
    others, blank where unknown."""
    is_test: np.ndarray


def check_guesses(files: FoldFiles) -> Iterator[Finding]:
    """Look for columns of test cells that ids or the order of rows give away."""
    rows = _rows(files)
    if rows is None:
        return
    n_test = int(rows.is_test.sum())
    n_rows = len(rows.hidden)
    ids = _encode(_bytes(rows.hidden.index))
    parts = _encode([np.arange(n_rows) * POSITIONS // n_rows])
    kinds: Mapping[str, tuple[_Fit, ...]] = {
        "cell ids": (partial(_naive_bayes, ids), partial(_best_byte, ids)),
        "the order of rows": (_nearest_row, partial(_naive_bayes, parts)),
    }
    n_tests = 3 * len(rows.hidden.columns) * sum(map(len, kinds.values()))
    limit = np.log(LEVEL / max(n_tests, 1))
    for kind, fits in kinds.items():
        guesses = [
            g for column in rows.hidden for fit in fits for g in _judge(rows, str(column), fit)
        ]
        yield _finding(files, kind, [g for g in guesses if g.log_p <= limit], n_test)


def _rows(files: FoldFiles) -> _Rows | None:
    """Return what the test cells among the inputs hide; None where the inputs hold none.

    Columns that do not differ between test cells are left out: they are no secret.
    """
    shown = files.inputs.obs.iloc[:MAX_CELLS]
    is_test = (shown["role"].astype(str) == "test").to_numpy()
    if not is_test.any() or "real_cell_id" not in files.truth:
        return None
    ids = shown.index.astype(str)
    real = files.truth.drop_duplicates("cell_id").set_index("cell_id")["real_cell_id"]
    true = files.obs.reindex(real.reindex(ids).to_numpy())
    values = {}
    for column in HIDDEN:
        if column in true and true[column].to_numpy(dtype=object)[is_test].size:
            known = _text(shown[column]) if column in shown else np.full(len(ids), "")
            value = np.where(is_test, _text(true[column]), known)
            if len(set(value[is_test])) > 1:
                values[column] = value
    return _Rows(hidden=pd.DataFrame(values, index=ids), is_test=is_test)


def _text(values: "pd.Series[Any]") -> np.ndarray:
    """Return values as text, blank where they are missing."""
    plain = values.astype(object)
    return plain.where(plain.notna(), "").astype(str).to_numpy(dtype=str)


@dataclass(frozen=True, kw_only=True)
class _Features:
    """What a classifier is given: for every row and feature, which of all its values it has."""

    codes: Int[np.ndarray, "rows features"]
    """Numbers of values; no two features share one."""
    feature: Int[np.ndarray, " values"]
    """The feature of every value."""


def _encode(columns: Iterable[np.ndarray]) -> _Features:
    """Give the values of some columns numbers; columns of one value are left out."""
    codes: list[np.ndarray] = []
    feature = [np.empty(0, dtype=np.int64)]
    n_values = 0
    for column in columns:
        found, code = np.unique(column, return_inverse=True)
        if len(found) > 1 or not codes:
            feature.append(np.full(len(found), len(codes)))
            codes.append(code + n_values)
            n_values += len(found)
    return _Features(codes=np.column_stack(codes), feature=np.concatenate(feature))


def _bytes(ids: pd.Index) -> Int[np.ndarray, "bytes cells"]:
    """Return the bytes of every id, zeros after its end."""
    text = np.array([str(i).encode()[:MAX_BYTES] for i in ids], dtype=f"S{MAX_BYTES}")
    return text.view(np.uint8).reshape(len(ids), MAX_BYTES).T


_Fit = Callable[[Labels, np.ndarray, np.ndarray], Labels]
"""From labels, which of them are known, and which rows are asked for, to guesses for these."""


def _count(
    features: _Features, labels: Labels, known: np.ndarray
) -> Int[np.ndarray, "values labels"]:
    """Count the known cells of every value and label."""
    n_labels, n_values = int(labels.max()) + 1, len(features.feature)
    cells = features.codes[known] * n_labels + labels[known][:, None]
    return np.bincount(cells.ravel(), minlength=n_values * n_labels).reshape(n_values, n_labels)


def _naive_bayes(
    features: _Features, labels: Labels, known: np.ndarray, asked: np.ndarray
) -> Labels:
    """Guess the label under which a cell's values are most frequent; all labels are as likely."""
    return _most_likely(features, _count(features, labels, known), features.codes[asked])


def _most_likely(
    features: _Features,
    counts: Int[np.ndarray, "values labels"],
    codes: Int[np.ndarray, "rows features"],
) -> Labels:
    n_known = counts[features.feature == features.feature[codes[0, 0]]].sum(axis=0)
    n_values = np.bincount(features.feature)[features.feature]
    log_share = np.log((counts + 1.0) / (n_known + n_values[:, None]))
    score = np.zeros((len(codes), counts.shape[1]))
    for column in codes.T:
        score += log_share[column]
    score[:, n_known == 0] = -np.inf
    return np.asarray(score.argmax(axis=1), dtype=np.int64)


def _best_byte(features: _Features, labels: Labels, known: np.ndarray, asked: np.ndarray) -> Labels:
    """Guess from the one feature that tells most about the known labels, for its number of values.

    Most is the likelihood ratio of its table with the labels, less half a log of cells for every
    degree of freedom.
    """
    counts = _count(features, labels, known)
    n_known = int(known.sum())
    expected = np.outer(counts.sum(axis=1), counts.sum(axis=0) / len(np.unique(features.feature)))
    told = xlogy(counts, counts) - xlogy(counts, np.where(counts > 0, expected / n_known, 1.0))
    told_by = np.bincount(features.feature, weights=told.sum(axis=1))
    n_values = np.bincount(features.feature, weights=counts.sum(axis=1) > 0)
    n_free = (n_values - 1) * (int((counts.sum(axis=0) > 0).sum()) - 1)
    gain = np.where(n_values > 1, told_by - n_free * np.log(n_known) / 2, -np.inf)
    return _most_likely(features, counts, features.codes[asked][:, [int(gain.argmax())]])


def _nearest_row(labels: Labels, known: np.ndarray, asked: np.ndarray) -> Labels:
    """Guess the label of the nearest row whose label is known; of two as near, the one before."""
    rows, places = np.flatnonzero(known), np.flatnonzero(asked)
    after = np.clip(np.searchsorted(rows, places), 0, len(rows) - 1)
    before = np.clip(after - 1, 0, len(rows) - 1)
    is_before = np.abs(places - rows[before]) <= np.abs(rows[after] - places)
    return labels[np.where(is_before, rows[before], rows[after])]


def _judge(rows: _Rows, column: str, fit: _Fit) -> Iterator[_Guess]:
    """Fit without some test cells, all or one half, and compare the guesses on them with chance."""
    _, labels = np.unique(rows.hidden[column].to_numpy(dtype=str), return_inverse=True)
    labels = labels.astype(np.int64)
    n_labels = int(labels.max()) + 1
    is_known = (rows.hidden[column] != "").to_numpy()
    in_first = np.random.default_rng(SEED).permutation(len(labels)) < len(labels) // 2
    for part in (rows.is_test, rows.is_test & in_first, rows.is_test & ~in_first):
        asked, known = part & is_known, is_known & ~part
        if not asked.any() or not known.any():
            continue
        table = np.zeros((n_labels, n_labels), dtype=np.int64)
        np.add.at(table, (labels[asked], fit(labels, known, asked)), 1)
        yield _Guess(
            column=column,
            n_right=int(np.trace(table)),
            n_cells=int(asked.sum()),
            expected=float(table.sum(axis=0) @ table.sum(axis=1)) / int(asked.sum()),
            log_p=_log_chance(table),
        )


def _log_chance(table: Int[np.ndarray, "true guessed"]) -> float:
    """Return the log of the chance that shuffled labels are met as well as these.

    Labels are taken one after the other, the most frequent first. Among the cells that are left,
    which ones hold it is random under the null, so that the number met is hypergeometric; such
    chances given all before may be combined by Fisher's method.
    """
    order = np.argsort(-table.sum(axis=1), kind="stable")
    logs, left = [], table.copy()
    for label in order[:-1]:
        n_cells, n_true, n_guessed = left.sum(), left[label].sum(), left[:, label].sum()
        if 0 < n_true < n_cells and 0 < n_guessed < n_cells:
            met = left[label, label]
            logs.append(min(float(hypergeom.logsf(met - 1, n_cells, n_true, n_guessed)), 0.0))
        left[label] = 0
    return float(chi2.logsf(-2.0 * sum(logs), 2 * len(logs))) if logs else 0.0


def _finding(files: FoldFiles, kind: str, guesses: list[_Guess], n_cells: int) -> Finding:
    columns = sorted({g.column for g in guesses})
    found = finding(files, "guesses", columns, f"column(s) of test cells that {kind} give away")
    if n_cells < MIN_CELLS:
        said = f"{n_cells} test cell(s) are too few to tell whether {kind} give anything away"
        return replace(found, severity="ok", n=0, ids=(), message=said)
    parts = [
        f"{g.column} of {g.n_right} of {g.n_cells} cells, {g.expected:.0f} by chance"
        for g in guesses
    ]
    return replace(found, message="; ".join([found.message, *parts[:3]]))
