"""Committed results: where their tables lie, and what shows that they are of this tree.

A record ties a table to the predictions it came from and, by board, to the frozen split and the
frozen constants that scores use. On simulated boards the units, and how many cells each has, must
be those that this build scored. What this cannot see is code that changed since: a model, a metric
or what a model is shown may give other scores today where splits and constants stay the same.
"""

import hashlib
import json
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from leaderboard import layout
from leaderboard.cases import split_name
from leaderboard.errors import TableError
from leaderboard.io import read_json, sha256_text
from leaderboard.spec import Board

FAILURES = ".failures"
UNIT_COLUMNS = ["metric", "seed", "fold", "unit", "stratum", "n"]
"""What two entries that did not fail have in common on one board, whatever they predict."""


def score_tables(folder: Path) -> dict[str, Path]:
    """Return the score tables of a folder, plain or compressed, by entry.

    Raises
    ------
    TableError
        If an entry has both.
    """
    found: dict[str, Path] = {}
    for path in sorted([*folder.glob("*.csv"), *folder.glob("*.csv.gz")]):
        name = path.name.partition(".csv")[0]
        if name.endswith(FAILURES):
            continue
        if name in found:
            raise TableError(f"{path}: {found[name].name} is there too. Delete one of them.")
        found[name] = path
    return found


def failures_beside(scores: Path) -> Path:
    """Path of the failure table that belongs to a score table, compressed if that is."""
    name, _, suffix = scores.name.partition(".csv")
    return scores.with_name(f"{name}{FAILURES}.csv{suffix}")


def constants_digest(constants: Mapping[str, Any], metrics: Collection[str]) -> str:
    """SHA-256 of what is frozen about a board, of its metrics only those that were scored.

    Others are left out, so that a metric that is new makes no earlier result invalid.
    """
    used = {m: c for m, c in constants.get("metrics", {}).items() if m in metrics}
    text = json.dumps({**constants, "metrics": used}, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def read_record(path: Path) -> dict[str, Any]:
    """Return the provenance of a committed score table, whose files must be those published.

    Raises
    ------
    TableError
        If the score or the failure table has another digest than the record.
    """
    name = path.name.partition(".csv")[0]
    record: dict[str, Any] = read_json(path.with_name(f"{name}.json"))
    failures = failures_beside(path)
    stated = {str(facts["scores_sha256"]): path for facts in record["boards"].values()}
    if "failures_sha256" in record:
        stated[str(record["failures_sha256"])] = failures
    for expected, file in stated.items():
        digest = sha256_text(file)
        if digest != expected:
            raise TableError(
                f"{file}: expected SHA-256 {expected[:16]}, got {digest[:16]}. The table is not "
                "the one that was published; restore it, or `heldout publish` again."
            )
    return record


def check_record(
    path: Path, record: Mapping[str, Any], scores: pd.DataFrame, boards: Iterable[Board]
) -> None:
    """Raise TableError unless a table is of the boards and splits that the tree has."""
    known = {board.id: board for board in boards}
    stated, found = sorted(record["boards"]), sorted(set(scores["board"]))
    lost = [board for board in stated if board not in known]
    if stated != found or lost:
        expected = f"some of {sorted(known)}" if lost else str(stated)
        raise TableError(
            f"{path}: expected the boards {expected}, got {lost or found}. {_remedy(record)}"
        )
    splits = read_json(layout.SPLITS_LOCK).get(record["dataset"], {})
    for board, facts in record["boards"].items():
        frozen = splits.get(split_name(known[board]), "not frozen")
        if facts["split_sha256"] != frozen:
            raise TableError(
                f"{path}: {board} was scored on another split than data/splits.lock.json freezes: "
                f"expected {frozen[:16]}, got {facts['split_sha256'][:16]}. {_remedy(record)}"
            )


def check_frozen(
    path: Path, record: Mapping[str, Any], scores: pd.DataFrame, lock: Mapping[str, Any]
) -> None:
    """Raise TableError if a table was scored with other constants than are frozen now.

    Records of real boards may lack the digest; the constants of the controls stand beside them.
    """
    for board, facts in record["boards"].items():
        metrics = set(scores.loc[scores["board"] == board, "metric"])
        frozen = constants_digest(lock.get(board, {}), metrics)
        stated = str(facts.get("constants_sha256", frozen))
        if stated != frozen:
            raise TableError(
                f"{path}: {board} was scored with other constants than {layout.BOARD_LOCKS} "
                f"freezes: expected {frozen[:16]}, got {stated[:16]}. {_remedy(record)}"
            )


def check_beside(
    path: Path,
    record: Mapping[str, Any],
    scores: pd.DataFrame,
    recomputed: pd.DataFrame,
    constants: Collection[str],
) -> None:
    """Raise TableError unless a committed table fits what is recomputed of its dataset.

    It must be of the full tier, of an entry that is not recomputed, and state which constants it
    was scored with; its units, with their folds and numbers of scored cells, must be those of the
    recomputed entries. Boards on which a run failed hold no cells and are not compared.

    Parameters
    ----------
    recomputed
        Score rows of this build.
    constants
        Boards whose constants this build computed anew: equal to the frozen ones, they show that
        the truth is still the one that was scored.
    """
    if record["tier"] != "full":
        raise TableError(
            f"{path}: an entry of the tier {record['tier']!r} is recomputed on simulated boards, "
            f"so committed scores of it count nothing; expected the tier 'full'. "
            f"Delete its files from {path.parent}."
        )
    name = record["id"]
    if name in set(recomputed["entry"]):
        raise TableError(
            f"{path}: this build has scores of {name} under {layout.DATA / 'scores'} too, and an "
            "entry has one tier. Delete those of the tier that its entry.yaml does not name."
        )
    _check_tied(path, record, constants)
    for board, rows in scores[scores["status"] != "failed"].groupby("board"):
        there = recomputed[(recomputed["board"] == board) & (recomputed["status"] != "failed")]
        there = there[there["metric"].isin(rows["metric"])]
        different = _units(rows) ^ _units(there)
        if different:
            first = dict(zip(UNIT_COLUMNS, min(different, key=str), strict=True))
            raise TableError(
                f"{path}: {board} was scored on other units than this build has: "
                f"{len(different)} rows are in one of the two only, the first is {first}. "
                f"{_remedy(record)}"
            )


def _check_tied(path: Path, record: Mapping[str, Any], constants: Collection[str]) -> None:
    for board, facts in record["boards"].items():
        if "constants_sha256" not in facts:
            raise TableError(
                f"{path}: the record of {board} lacks `constants_sha256`, so nothing ties it to "
                f"the truth of this build. {_remedy(record)}"
            )
        if board not in constants:
            raise TableError(
                f"{path}: this build has no constants of {board}, so nothing ties it to the truth. "
                "Run `dvc repro`, which scores the controls."
            )


def _units(rows: pd.DataFrame) -> set[tuple[Any, ...]]:
    return set(rows[UNIT_COLUMNS].drop_duplicates().itertuples(index=False, name=None))


def _remedy(record: Mapping[str, Any]) -> str:
    target = "full" if record["tier"] == "full" else "real"
    return f"Run `make {target}` and `heldout publish` again."
