"""Checks of what else tells a label apart: the library that it was sequenced in, batch, donor.

A label that one library alone holds can be told by the depth and the ambient RNA of that library.
"""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pandas as pd
from jaxtyping import Float

from leaderboard.audit._record import BoardFiles, Finding, Severity, finding
from leaderboard.cases import select
from leaderboard.tasks._annotation import MIN_CLASS_CELLS

LABEL = {
    "cell_type_annotation": "cell_type",
    "batch_integration": "cell_type",
    "perturbation_prediction": "perturbation",
}
"""What the scores of a task are about; other tasks ask for no label."""
GATED = "cell_type_annotation"
"""The task whose boards lose their ranks: elsewhere label and library is a warning."""
TRAINING = ("train", "validation")
STRONG = 0.5
"""Cramer's V from which two columns are hard to tell apart: chi squared is then a quarter of what
it would be if one decided the other."""


def check_library(files: BoardFiles) -> Iterator[Finding]:
    """Look for labels that cannot be told from the library that their cells come from."""
    label = LABEL.get(files.board.task)
    if label is None:
        return
    if files.library == "unknown":
        found = finding(files, "library", ["unknown"], "", "warning")
        yield replace(found, message="nobody states which library a cell comes from")
        return
    if files.library == "single":
        yield finding(
            files, "library", _libraries(files.obs), "libraries in a dataset declared to be one"
        )
        return
    cells = _labelled(files, label, files.library)
    severity: Severity = "error" if files.board.task == GATED else "warning"
    found = _libraries_of_one_label(files, cells, severity)
    yield found
    if found.severity == "ok":
        yield from _labels_of_one_library(files, cells, severity)


def check_association(files: BoardFiles) -> Iterator[Finding]:
    """Measure how far batch, donor and library tell a label: Cramer's V, a warning from .5 on."""
    label = LABEL.get(files.board.task)
    if label is None:
        return
    known = set(files.obs.columns) - {label}
    for column in sorted({"batch", "donor_id", "library", files.library} & known):
        cells = _labelled(files, label, column)
        table = pd.crosstab(cells["label"], cells["group"])
        if min(table.shape) < 2:
            continue
        v = cramers_v(table.to_numpy(dtype=np.float64))
        pair = f"{label} x {column}"
        found = finding(
            files, "association", [pair] if v >= STRONG else [], "pair of columns", "warning"
        )
        yield replace(
            found,
            message=f"Cramer's V of {label} and {column} is {v:.2f} over {len(cells)} cells "
            f"({table.shape[0]} x {table.shape[1]} values); from {STRONG:.2f} on they are hard to "
            "tell apart",
        )


def cramers_v(table: Float[np.ndarray, "rows columns"]) -> float:
    """Return Cramer's V of a table of counts, corrected for bias (Bergsma 2013).

    doi:10.1016/j.jkss.2012.10.002. 0 is no association, 1 is that each value of the longer side
    goes with one of the other. Rows and columns of zeros must be left out.
    """
    n = table.sum()
    expected = np.outer(table.sum(axis=1), table.sum(axis=0)) / n
    phi_squared = float(((table - expected) ** 2 / expected).sum() / n)
    sides = np.array(table.shape, dtype=np.float64) - 1
    by_chance = float(sides.prod()) / (n - 1)
    span = float((sides - sides**2 / (n - 1)).min())
    return float(np.sqrt(min(1.0, max(0.0, phi_squared - by_chance) / span))) if span > 0 else 0.0


def _libraries(obs: pd.DataFrame) -> list[str]:
    """Return the values of the column ``library`` where it has more than one."""
    values = sorted(obs["library"].dropna().astype(str).unique()) if "library" in obs else []
    return values if len(values) > 1 else []


def _labelled(files: BoardFiles, label: str, column: str) -> pd.DataFrame:
    """Return ``label group`` of the board's cells that have both, as text."""
    cells = select(files.obs, files.board)[[label, column]].dropna().astype(str)
    return cells.set_axis(["label", "group"], axis=1)


def _libraries_of_one_label(files: BoardFiles, cells: pd.DataFrame, severity: Severity) -> Finding:
    """Look for a dataset in which the library gives every label away."""
    n_labels = cells.groupby("group")["label"].nunique()
    is_one = len(n_labels) > 1 and not (n_labels > 1).any()
    bad = list(n_labels.index) if is_one else []
    return finding(files, "library", bad, "libraries, and none holds two labels", severity)


def _labels_of_one_library(
    files: BoardFiles, cells: pd.DataFrame, severity: Severity
) -> Iterator[Finding]:
    """Look for labels that one of several libraries holds alone.

    What gates is a label that can move a score, and by its library: it has the 20 cells that a
    ranked class needs, and some fold shows it in training and in test. Of a few cells all may come
    from one library by chance, and a label that a fold never shows is no class of the board.
    """
    if cells["group"].nunique() < 2:
        yield finding(files, "library", [], "label(s) that one library alone holds")
        return
    by_label = cells.groupby("label")["group"].agg(["nunique", "size"])
    confined = by_label[by_label["nunique"] == 1]
    scored = confined.index[
        (confined["size"] >= MIN_CLASS_CELLS)
        & confined.index.isin(list(_on_both_sides(files, cells)))
    ]
    what = (
        f"label(s) with {MIN_CLASS_CELLS} cells, in training and test, that one library alone holds"
    )
    yield finding(files, "library", list(scored), what, severity)
    others = confined.index.difference(scored)
    what = "label(s) that one library alone holds, too rare to rank or never in training and test"
    yield finding(files, "library", list(others), what, "warning")


def _on_both_sides(files: BoardFiles, cells: pd.DataFrame) -> set[str]:
    """Return the labels that some fold holds in training and in test."""
    named = files.roles.assign(label=cells["label"].reindex(files.roles["cell_id"]).to_numpy())
    named = named.dropna(subset=["label"])
    trained = named.loc[named["role"].isin(TRAINING), ["fold", "label"]].drop_duplicates()
    tested = named.loc[named["role"] == "test", ["fold", "label"]].drop_duplicates()
    return set(trained.merge(tested, on=["fold", "label"])["label"])
