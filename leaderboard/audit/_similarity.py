"""How near the perturbations of a test set are to those of training: the novelty table.

Nearness by shared target, by processes of the targets, by co-expression of the targets in control
cells, and by the response itself. The last alone looks at truth, and no model is given any.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from jaxtyping import Float

from leaderboard.audit._record import BoardFiles, Finding, finding
from leaderboard.spec import Board
from leaderboard.tasks._moments import Moments

TRAINING = ("train", "validation")
NEAR, FAR = 0.25, 0.5
"""Cosine distance of a test perturbation to the nearest training perturbation: bins of novelty."""
MIN_TERMS = 5
"""Processes that two genes must have in common, and no other, to be called alike: genes that were
studied little share their few processes with many."""
MEASURED_SHARE = 0.5
"""Share of test perturbations with a measured target below which targets say little here."""
COLUMNS = [
    *("board", "fold", "unit", "distance", "bin", "response", "shown", "n_targets", "n_measured"),
    *("target", "target_jaccard", "go", "go_jaccard", "coexpression", "coexpression_r"),
]
NAMES = {"target": "target_jaccard", "go": "go_jaccard", "coexpression": "coexpression_r"}
"""Column of the nearest training perturbation to column of the similarity it is nearest by."""
Matrix = Float[np.ndarray, "perturbations perturbations"]
Terms = Mapping[str, frozenset[str]]
Similarities = Mapping[str, pd.DataFrame]
"""Perturbations x perturbations by the keys of ``NAMES``; NaN where nothing can be compared."""


@dataclass(frozen=True, kw_only=True)
class ScreenFold:
    """One fold of a perturbation board as the novelty table sees it."""

    board: Board
    fold: int
    trained: tuple[str, ...]
    """Perturbations of training and validation cells, sorted."""
    moments: Moments


@dataclass(frozen=True, kw_only=True)
class Genes:
    """What is known of target genes before any perturbation is looked at."""

    expression: pd.DataFrame
    """Control cells that models are shown x measured targets: standardised within each context."""
    terms: Terms | None
    """Gene to its processes; None where there is no such table, as for simulated genes."""


def novelty_bin(distance: float) -> str:
    """Name the bin of a distance to the nearest training perturbation."""
    if distance < NEAR:
        return "novelty_near"
    return "novelty_middle" if distance < FAR else "novelty_far"


def targets(perturbation: str) -> frozenset[str]:
    """Return the genes that a perturbation targets."""
    return frozenset(perturbation.split("+"))


def terms_of(sets: Mapping[str, frozenset[str]]) -> dict[str, frozenset[str]]:
    """Turn gene sets around: gene to the names of the sets that hold it."""
    found: dict[str, set[str]] = {}
    for name, genes in sets.items():
        for gene in genes:
            found.setdefault(gene, set()).add(name)
    return {gene: frozenset(names) for gene, names in found.items()}


def similarities(perturbations: Sequence[str], genes: Genes) -> dict[str, pd.DataFrame]:
    """Compare every two perturbations by targets, by terms of the targets and by co-expression.

    Sets are compared by the share of their members that are common (Jaccard), a combination having
    the terms of all of its targets; co-expression is Pearson's correlation of the summed expression
    of the measured targets.
    """
    terms = genes.terms or {}
    own = {p: targets(p) for p in perturbations}
    processes = {
        p: frozenset().union(*(terms.get(gene, frozenset()) for gene in own[p])) for p in own
    }
    found = {
        "target": _jaccard(list(own.values())),
        "go": _jaccard(list(processes.values())),
        "coexpression": _correlations(list(own.values()), genes.expression),
    }
    return {n: pd.DataFrame(v, index=list(own), columns=list(own)) for n, v in found.items()}


def _jaccard(sets: Sequence[frozenset[str]]) -> Matrix:
    """Return the common share of members of every two sets; NaN where there is none."""
    members = sorted(frozenset().union(*sets))
    is_member = np.array([[m in s for m in members] for s in sets], dtype=np.float64)
    is_member = is_member.reshape(len(sets), len(members))
    common, size = is_member @ is_member.T, is_member.sum(axis=1)
    either = size[:, None] + size - common
    found: Matrix = np.divide(common, either, out=np.full_like(common, np.nan), where=common > 0)
    return found


def _correlations(sets: Sequence[frozenset[str]], expression: pd.DataFrame) -> Matrix:
    """Correlate the summed expression of every two sets of genes; NaN where one is constant."""
    total = np.zeros((len(sets), len(expression)))
    for row, genes in enumerate(sets):
        total[row] = expression[sorted(genes & set(expression.columns))].to_numpy().sum(axis=1)
    total -= total.mean(axis=1, keepdims=True)
    length = np.linalg.norm(total, axis=1, keepdims=True)
    unit = np.divide(total, length, out=np.full_like(total, np.nan), where=length > 1e-9)
    found: Matrix = unit @ unit.T
    return found


def standardised(
    values: Float[np.ndarray, "cells genes"], context: "pd.Series[str]"
) -> Float[np.ndarray, "cells genes"]:
    """Return values with mean 0 and variance 1 in every context; a constant gene is 0."""
    groups = pd.DataFrame(values).groupby(context.to_numpy())
    centred = values - groups.transform("mean").to_numpy()
    spread = groups.transform("std", ddof=0).to_numpy()
    found: Float[np.ndarray, "cells genes"] = np.divide(
        centred, spread, out=np.zeros_like(centred), where=spread > 1e-12
    )
    return found


def novelty_of_fold(
    files: ScreenFold, similar: Similarities, measured: frozenset[str]
) -> pd.DataFrame:
    """Return ``COLUMNS``, one row a test unit; names are blank and numbers NaN where none is near.

    ``distance`` is 1 - the largest cosine of the unit's shift to that of a training perturbation,
    the mean over contexts, and ``response`` names that perturbation; see ``tasks._gate``. Where
    units are no perturbations, what is said of targets stays blank.

    Parameters
    ----------
    measured
        The genes of the panel.
    """
    rows = []
    for unit, (distance, response) in _responses(files.moments).items():
        row: dict[str, object] = {
            "board": files.board.id, "fold": files.fold, "unit": unit, "distance": distance,
            "bin": novelty_bin(distance), "response": response,
        }  # fmt: skip
        if files.board.unit == "perturbation":
            row |= {
                "shown": shown(unit, files.trained),
                "n_targets": len(targets(unit)),
                "n_measured": len(targets(unit) & measured),
            }
            for name, number in NAMES.items():
                row[name], row[number] = _nearest(similar[name], unit, files.trained)
        rows.append(row)
    return typed(pd.DataFrame(rows, columns=COLUMNS))


def typed(table: pd.DataFrame) -> pd.DataFrame:
    """Give a novelty table, empty or not, the types of its schema."""
    texts = ["board", "unit", "bin", "response", "shown", *NAMES]
    numbers = ["distance", *NAMES.values()]
    counts = ["fold", "n_targets", "n_measured"]
    kinds = {"str": texts, "float64": numbers, "int16": counts}
    types = {name: kind for kind, names in kinds.items() for name in names}
    blank = dict.fromkeys(texts, "") | dict.fromkeys(counts, 0)
    return table.fillna(blank).astype(types)[COLUMNS]


def plain_rows(table: pd.DataFrame) -> list[dict[str, object]]:
    """Return the rows of a novelty table as plain values: 4 digits, None where there is none."""
    numbers = {"distance", *NAMES.values()}
    return [
        {str(k): _plain(v) if k in numbers else v for k, v in row.items()}
        for row in table.to_dict("records")
    ]


def _plain(number: float) -> float | None:
    return None if np.isnan(number) else round(number, 4)


def _nearest(similar: pd.DataFrame, unit: str, trained: Sequence[str]) -> tuple[str, float]:
    """Return the most similar training perturbation, the first by name of equal ones."""
    values = similar.loc[[unit], list(trained)].to_numpy()[0]
    if np.isnan(values).all():
        return "", float("nan")
    best = int(np.nanargmax(values))
    return trained[best], float(values[best])


def _responses(moments: Moments) -> dict[str, tuple[float, str]]:
    """Return distance and name of the training perturbation that acts most alike, by test unit."""
    found = {}
    for unit, rows in moments.units().items():
        near = [_nearest_response(moments, r) for r in rows if moments.has_enough_controls(r)]
        if near:
            found[unit] = (float(np.mean([d for d, _ in near])), min(near)[1])
    return found


def _nearest_response(moments: Moments, row: int) -> tuple[float, str]:
    context = str(moments.context[row])
    training = moments.rows("train", context) or moments.rows("train")
    control = moments.control("control_truth", context)
    shift, known = moments.mean[row] - control, moments.mean[training] - control
    norm = np.linalg.norm(known, axis=1) * np.linalg.norm(shift)
    cosine = np.divide(known @ shift, norm, out=np.zeros(len(norm)), where=norm > 0)
    best = int(cosine.argmax())
    return 1.0 - float(cosine[best]), str(moments.perturbation[training[best]])


def shown(perturbation: str, trained: Collection[str]) -> str:
    """Say how training shows a perturbation: ``itself``, ``single``, ``combination`` or ``no``.

    ``single``: at least one of its targets alone; ``combination``: with other genes only.
    """
    own = targets(perturbation)
    if any(targets(p) == own for p in trained):
        return "itself"
    if any(p in own for p in trained):
        return "single"
    return "combination" if any(targets(p) & own for p in trained) else "no"


def trained_by_fold(files: BoardFiles) -> dict[int, tuple[str, ...]]:
    """Return the perturbations of training and validation cells of every fold, sorted."""
    rows = files.roles[files.roles["role"].isin(TRAINING)]
    names = files.obs.loc[rows["cell_id"], "perturbation"].astype(str).to_numpy()
    by_fold = rows.assign(name=names).groupby("fold")["name"].unique()
    return {int(str(fold)): tuple(sorted(map(str, found))) for fold, found in by_fold.items()}


def check_similarity(
    files: BoardFiles, novelty: pd.DataFrame, terms: Terms | None
) -> Iterator[Finding]:
    """Look for unmeasured targets, and for genes that differ from a trained one in name alone.

    Parameters
    ----------
    novelty
        Rows of the board.
    terms
        Gene to its processes; None where nobody knows them, as of simulated genes.
    """
    if files.board.unit != "perturbation":
        return
    tested = novelty[novelty["shown"] != "itself"].drop_duplicates("unit")
    unmeasured = sorted(tested.loc[tested["n_measured"] == 0, "unit"])
    what = f"of {len(tested)} unseen perturbations have no measured target"
    is_many = len(unmeasured) > (1 - MEASURED_SHARE) * len(tested)
    found = finding(files, "similarity", unmeasured if is_many else [], what, "warning")
    yield replace(found, message=f"{len(unmeasured)} {what}")
    if terms is None:
        ok = finding(files, "similarity", [], "")
        yield replace(ok, message="no GO terms to compare these genes by")
        return
    what = (
        f"pair(s) of targets, in test and in training, with the same {MIN_TERMS} or more GO terms"
    )
    yield finding(files, "similarity", _twins(files, novelty, terms), what, "warning")


def _twins(files: BoardFiles, novelty: pd.DataFrame, terms: Terms) -> list[str]:
    """Return the pairs of targets that nothing but their name tells apart, as text."""
    trained = {
        fold: {gene for p in names for gene in targets(p)}
        for fold, names in trained_by_fold(files).items()
    }
    pairs = set()
    for fold, unit, how in novelty[["fold", "unit", "shown"]].itertuples(index=False):
        for gene in targets(str(unit)) if how != "itself" else ():
            own = terms.get(gene, frozenset())
            if len(own) >= MIN_TERMS:
                others = sorted(trained[fold] - targets(str(unit)))
                pairs |= {" = ".join(sorted((gene, o))) for o in others if terms.get(o) == own}
    return sorted(pairs)
