"""Checks of entries: what they saw before, whose predictions they repeat, what is too good."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any, Literal

import numpy as np
import pandas as pd

from leaderboard.audit._record import Severity
from leaderboard.errors import TableError

Status = Literal["seen", "unseen", "unknown"]
UNTRAINED = ("none", "random", "trained here")
"""What ``weights`` says of a model that met no data but those of a fold."""
PERFECT = (
    "noise", "truth", "noise-free truth", "true labels", "exact network", "the property itself",
)  # fmt: skip
"""Kinds of ceiling that a perfect predictor reaches; others are no limit to anybody."""
SAME = 1e-9
"""Scores this close, relative to their size, are of the same predictions."""
MIN_SAME = 3
"""Values that two entries must share; fewer may agree by chance."""
KEY = ["fold", "seed", "metric", "unit", "stratum"]


@dataclass(frozen=True, kw_only=True)
class Flag:
    """What is wrong or unknown about one entry on one board; an error takes its ranks away."""

    check: str
    severity: Severity
    message: str


@dataclass(frozen=True, kw_only=True)
class Exposure:
    """Whether an entry saw a dataset before it was tested on it, and how that is known."""

    status: Status
    evidence: str


@dataclass(frozen=True, kw_only=True)
class KnownData:
    """What the datasets of the leaderboard are called elsewhere, and which share cells."""

    names: Mapping[str, Sequence[str]]
    """Dataset to its own name, accession numbers and DOI."""
    shared: Mapping[str, Mapping[str, int]]
    """Dataset to other dataset to the number of cells that are in both."""


def other_names(dataset: str, accession: str, doi: str) -> tuple[str, ...]:
    """Return by what text a corpus may name a dataset."""
    return tuple(filter(None, (dataset, *re.split(r"[\s,;]+", accession), doi)))


def shared_cells(
    published: Mapping[str, Sequence[Mapping[str, Any]]],
) -> dict[str, dict[str, int]]:
    """Return how many cells of a dataset are in each other one, where any are.

    Parameters
    ----------
    published
        Dataset to ``shared`` of its published facts: ``[{"dataset": other, "shared": [n, m]}]``,
        n of its own cells being equal to m of the other's; further keys are not looked at.

    Raises
    ------
    TableError
        If a row holds anything else.
    """
    found: dict[str, dict[str, int]] = {}
    for dataset, rows in published.items():
        for row in rows:
            if not {"dataset", "shared"} <= set(row) or not len(row["shared"]) == 2:
                raise TableError(
                    f"{dataset}: `shared` must hold objects with dataset and shared, a pair of "
                    f"counts; got {dict(row)!r:.80}. Run `heldout publish` again."
                )
            own, others = map(int, row["shared"])
            if own and others:
                found.setdefault(dataset, {})[str(row["dataset"])] = own
                found.setdefault(str(row["dataset"]), {}).setdefault(dataset, others)
    return found


def exposure_of(entry: Mapping[str, Any], dataset: str, known: KnownData) -> Exposure:
    """Return what an entry saw of a dataset before, by what its ``entry.yaml`` declares.

    What pretraining names was seen, whatever else is declared, and so was a dataset that shares
    cells with one that was seen. Where nothing is declared of a pretrained model nobody knows, and
    unknown is not clean.
    """
    own = _own_exposure(entry, dataset, known)
    if own.status == "seen":
        return own
    for other, n in sorted(known.shared.get(dataset, {}).items()):
        if _own_exposure(entry, other, known).status == "seen":
            return Exposure(
                status="seen", evidence=f"it saw {other}, which holds {n} of these cells"
            )
    return own


def _own_exposure(entry: Mapping[str, Any], dataset: str, known: KnownData) -> Exposure:
    corpora: Sequence[str] = entry.get("pretraining", ())
    for name in known.names.get(dataset, (dataset,)):
        if any(_names(corpus, name) for corpus in corpora):
            return Exposure(status="seen", evidence=f"its pretraining names {name}")
    declared = entry.get("exposure", {}).get(dataset)
    if declared is not None:
        return Exposure(status=declared["status"], evidence=str(declared["evidence"]))
    if not corpora and entry.get("weights", "none") in UNTRAINED:
        return Exposure(status="unseen", evidence="no pretraining")
    return Exposure(status="unknown", evidence="pretrained, and nothing is declared of this data")


def _names(corpus: str, name: str) -> bool:
    """Whether a text holds a name as a word of its own, in any case."""
    word = rf"(?<![A-Za-z0-9_]){re.escape(name)}(?![A-Za-z0-9_])"
    return re.search(word, corpus, flags=re.IGNORECASE) is not None


def exposure_flags(exposure: Exposure) -> list[Flag]:
    """Return an error for what was seen, a warning for what nobody knows."""
    if exposure.status == "seen":
        said = f"saw these data before: {exposure.evidence}"
        return [Flag(check="exposure", severity="error", message=said)]
    if exposure.status == "unknown":
        said = f"may have seen these data before ({exposure.evidence}); unknown is not clean"
        return [Flag(check="exposure", severity="warning", message=said)]
    return []


def repeated_predictions(
    scores: pd.DataFrame, owners: Mapping[str, frozenset[str]]
) -> Iterator[tuple[str, str]]:
    """Yield pairs of entries of different owners that score the same on every unit and metric.

    Parameters
    ----------
    scores
        Score rows of one board.
    owners
        Authors by entry; entries that are not named, such as controls, are left out.
    """
    if len(set(owners.values())) < 2:
        return
    rows = scores[scores["entry"].isin(list(owners))]
    table = rows.pivot_table(index="entry", columns=KEY, values="value", aggfunc="mean")
    values = {str(name): row.to_numpy(dtype=np.float64) for name, row in table.iterrows()}
    for one, other in combinations(sorted(values), 2):
        if owners[one] & owners[other]:
            continue
        if _same(values[one], values[other]):
            yield one, other


def _same(one: np.ndarray, other: np.ndarray) -> bool:
    n_both = int((np.isfinite(one) & np.isfinite(other)).sum())
    close = np.allclose(one, other, rtol=SAME, atol=SAME, equal_nan=True)
    return n_both >= MIN_SAME and bool(close)


def is_limit(frozen: Mapping[str, Any]) -> bool:
    """Whether a metric's ceiling is what a perfect predictor is expected to score."""
    return bool(frozen["trusted"]) and frozen["ceiling_kind"] in PERFECT


def is_above_ceiling(
    low: float | None, high: float | None, frozen: Mapping[str, Any], *, higher_is_better: bool
) -> bool:
    """Whether an entry's whole interval is better than the ceiling's: nobody honest can be.

    Parameters
    ----------
    low, high
        Interval of the entry's mean; None where there are too few units for one.
    frozen
        Constants of the metric: ``ceiling_low``, ``ceiling_high``, ``ceiling_kind``, ``trusted``.
    """
    if low is None or high is None or not is_limit(frozen):
        return False
    if higher_is_better:
        return low > float(frozen["ceiling_high"])
    return high < float(frozen["ceiling_low"])
