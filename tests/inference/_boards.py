"""Boards with made-up scores, and the standings of their entries."""

import itertools
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from leaderboard.inference._paired import Difference, differences, sign_flip_p
from leaderboard.inference.evidence import BoardEvidence, EntryFacts
from leaderboard.io import SCORE_COLUMNS
from leaderboard.spec import Board


def difference(
    entry: np.ndarray, baseline: np.ndarray, name: str, *, higher_is_better: bool
) -> Difference:
    values = {"entry": entry, name: baseline}
    return differences(values, [name], higher_is_better=higher_is_better)["entry"][0]


def flip_p(lead: np.ndarray) -> float:
    return float(sign_flip_p(lead[:, None])[0])


def draw(seed: int, n: int) -> np.ndarray:
    values: np.ndarray = np.random.default_rng(seed).normal(0.3, 1.0, n)
    return values


GROUPED = Board(dataset="tiny", task="cell_type_annotation", split="donor", unit="donor_id")
RANDOM = Board(
    dataset="tiny", task="cell_type_annotation", split="random", unit="donor_id", matches="donor"
)
SCREEN = Board(
    dataset="tiny", task="perturbation_prediction", split="perturbation", unit="perturbation",
    context="cell_type",
)  # fmt: skip
BASELINES = ("majority", "logistic-regression", "nearest-centroid")
Values = Mapping[str, Any]
"""Entry to the values of its units; None is undefined, text is the reason of a failure."""


def score_rows(
    board: Board, metric: str, values: Values, seeds: tuple[int, ...] = (0,), n: int = 8
) -> pd.DataFrame:
    rows = []
    for entry, row in values.items():
        units = [row] * n if isinstance(row, str) else list(row)
        for (unit, value), seed in itertools.product(enumerate(units), seeds):
            status = "undefined" if value is None else "ok"
            reason = "" if value is not None else "too few cells"
            number = value
            if isinstance(value, str):
                status, reason, number = "failed", value, None
            rows.append(
                (entry, board.id, unit, seed, metric, f"u{unit}", "all", number, 9, status, reason)
            )
    table = pd.DataFrame(rows, columns=SCORE_COLUMNS)
    return table.assign(value=table["value"].astype(float))


def constants(**changes: Any) -> dict[str, Any]:
    return {
        "floor": 0.2, "ceiling": 1.0, "ceiling_low": 1.0, "ceiling_high": 1.0,
        "ceiling_kind": "true labels", "trusted": True, "reason": "", **changes,
    }  # fmt: skip


def facts_of(names: Any, **kinds: str) -> dict[str, EntryFacts]:
    def kind(name: str) -> str:
        return kinds.get(name.replace("-", "_"), "baseline" if name in BASELINES else "model")

    return {
        name: EntryFacts(
            name=name.title(), kind=kind(name), tier="default", verification="reproduced",
            weights="none",
        )
        for name in names
    }  # fmt: skip


def evidence(values: Values, board: Board = GROUPED, **changes: Any) -> BoardEvidence:
    kinds = {k: changes.pop(k) for k in list(changes) if k in {"shuffled", "oracle"}}
    frozen = {"metrics": {"macro_f1": constants(**changes.pop("frozen", {}))}}
    return BoardEvidence(
        board=board,
        suite="known_truth",
        release="test",
        source="recomputed",
        scores=score_rows(board, "macro_f1", values, changes.pop("seeds", (0,))),
        constants=frozen | changes.pop("constants", {}),
        entries=facts_of(values, **kinds),
        **changes,
    )


def around(mean: float, seed: int, n: int = 8, sd: float = 0.01) -> list[float]:
    return [mean + sd * float(v) for v in np.random.default_rng(seed).normal(size=n)]


def usual(n: int = 8) -> dict[str, list[float]]:
    """Three baselines, a model above them all, one below the best, one level with it."""
    return {
        "majority": around(0.3, 1, n),
        "logistic-regression": around(0.7, 2, n),
        "nearest-centroid": around(0.6, 3, n),
        "above": around(0.8, 4, n),
        "below": around(0.5, 5, n),
        "level": around(0.7, 6, n, sd=0.02),
    }


def rows_of(standings: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {row["entry"]: row for row in standings["rows"]}


def cells_of(standings: dict[str, Any], metric: str = "macro_f1") -> dict[str, dict[str, Any]]:
    return {entry: row["metrics"][metric] for entry, row in rows_of(standings).items()}


def screen_evidence(responders: list[str], **changes: Any) -> BoardEvidence:
    rows = score_rows(SCREEN, "pds", {"control-mean": [0.5] * 8, "model": around(0.8, 1)}, (0, 1))
    frozen = constants(floor=0.5, ceiling=0.95, ceiling_low=0.9, ceiling_high=0.99, **changes)
    return BoardEvidence(
        board=SCREEN, suite="known_truth", release="test", source="recomputed", scores=rows,
        constants={"metrics": {"pds": frozen}, "responders": responders},
        entries=facts_of(["control-mean", "model"], control_mean="baseline"),
    )  # fmt: skip
