"""Cells that a model draws are checked, and written beside its prediction."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pytest

from leaderboard import layout, predict
from leaderboard.config import TierLimits
from leaderboard.io import read_json, read_parquet, write_h5ad, write_parquet
from leaderboard.predict import Plan
from leaderboard.spec import Board, Case, Model, RunContext
from tests.predict._runs import (
    DATASET,
    ENTRY,
    SUITE,
    run_plan,
)

if TYPE_CHECKING:
    from anndata import AnnData

# Predicted cells


@dataclass
class FakeSampler:
    """Answers a perturbation case with one number everywhere, and with cells that a test makes."""

    cells: Callable[[pd.DataFrame], pd.DataFrame]

    def predict(self, inputs: "AnnData", queries: pd.DataFrame, _run: RunContext) -> pd.DataFrame:
        values = pd.DataFrame(0.5, index=range(len(queries)), columns=list(inputs.var_names))
        return pd.concat([queries.assign(statistic="mean"), values], axis=1)

    def sample(self, inputs: "AnnData", queries: pd.DataFrame, run: RunContext) -> pd.DataFrame:
        keys = queries.loc[queries.index.repeat(3)].reset_index(drop=True)
        keys["draw"] = np.tile(np.arange(3), len(queries))
        drawn = np.random.default_rng(run.seed).random((len(keys), inputs.n_vars))
        values = pd.DataFrame(drawn.astype(np.float32), columns=list(inputs.var_names))
        return self.cells(pd.concat([keys, values], axis=1))


Spoil = Callable[[pd.DataFrame], pd.DataFrame]


@pytest.fixture
def sample(
    in_folder: Path, sampled_case: Case, screen_board: Board, monkeypatch: pytest.MonkeyPatch
) -> Callable[[Spoil], Path]:
    """Run a sampler on fold 0 of the screen; return the folder of its board."""
    assert in_folder.is_dir()
    at = Path(screen_board.id) / "fold-0"
    write_h5ad(layout.cases(SUITE, DATASET) / at / "inputs.h5ad", sampled_case.inputs)
    assert sampled_case.queries is not None
    write_parquet(layout.cases(SUITE, DATASET) / at / "queries.parquet", sampled_case.queries)

    def run(spoil: Spoil) -> Path:
        model = Model(
            name="fake", label="Fake", tasks=("perturbation_prediction",),
            load=lambda: FakeSampler(spoil),
        )  # fmt: skip
        monkeypatch.setattr(predict, "MODELS", {"fake": model})
        return run_plan(
            Plan(
                entry=ENTRY, suite=SUITE, dataset=DATASET, boards=(screen_board,),
                models={"fake": {}}, seeds=(0, 1), limits=TierLimits(), threads=1, key="key",
                splits={},
            )
        )  # fmt: skip

    return run


def test_cells_are_written_beside_the_prediction_of_their_fold_and_seed(
    sample: Callable[[Spoil], Path],
) -> None:
    folder = sample(lambda cells: cells)
    assert read_json(folder / "status.json")["status"] == "complete"
    found = [read_parquet(layout.cells_of(folder / f"fold-0-seed-{s}.parquet")) for s in (0, 1)]
    keys = ["perturbation", "context", "draw"]
    pd.testing.assert_frame_equal(found[0][keys], found[1][keys])
    genes = [c for c in found[0] if c not in keys]
    assert not np.array_equal(found[0][genes], found[1][genes])
    expected = np.random.default_rng(1).random(found[1][genes].shape).astype(np.float32)
    np.testing.assert_array_equal(found[1][genes].to_numpy(), expected)
    record = read_json(layout.run(SUITE, DATASET, ENTRY))["boards"]
    (board,) = record.values()
    assert sorted(board["folds"]) == ["fold-0-seed-0", "fold-0-seed-1"]


BAD_CELLS: dict[str, tuple[Spoil, str]] = {
    "NaN": (lambda t: t.assign(G003=np.nan), "below 0 or not finite"),
    "infinity": (lambda t: t.assign(G003=np.inf), "below 0 or not finite"),
    "a negative value": (lambda t: t.assign(G003=-0.1), "below 0 or not finite"),
    "a gene is missing": (lambda t: t.drop(columns="G003"), "G003"),
    "a gene too many": (lambda t: t.assign(XIST=0.0), "XIST"),
    "a draw twice": (lambda t: t.assign(draw=0), "a draw is given twice"),
    "one cell a query": (lambda t: t[t["draw"] == 0], "got 1 to 1"),
    "cells for some queries": (lambda t: t.iloc[3:], "missing"),
    "cells that were not asked for": (
        lambda t: pd.concat([t, t.iloc[:3].assign(context="z")]),
        "z",
    ),
}


@pytest.mark.parametrize("fault", list(BAD_CELLS))
def test_cells_that_break_the_schema_fail_the_board_and_are_not_written(
    sample: Callable[[Spoil], Path], fault: str
) -> None:
    spoil, told = BAD_CELLS[fault]
    folder = sample(spoil)
    status = read_json(folder / "status.json")
    assert status["status"] == "failed"
    assert "PredictionError" in status["reason"]
    assert pd.Series(status["reason"]).str.contains(told).all(), status["reason"]
    assert [p.name for p in folder.iterdir()] == ["status.json"]


def test_more_cells_than_scoring_takes_are_refused(sample: Callable[[Spoil], Path]) -> None:
    def flood(cells: pd.DataFrame) -> pd.DataFrame:
        first = cells.iloc[:1]
        more = pd.concat([first.assign(draw=k) for k in range(501)])
        same = cells[["perturbation", "context"]] == first[["perturbation", "context"]].iloc[0]
        return pd.concat([more, cells[~same.all(axis=1)]])

    status = read_json(sample(flood) / "status.json")
    assert "got 3 to 501" in status["reason"]
