"""The cases of three folds and a fake model on them."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
import pytest

from leaderboard import layout, predict
from leaderboard.config import TierLimits
from leaderboard.io import write_h5ad, write_parquet
from leaderboard.predict import Plan
from leaderboard.spec import Board, Model
from tests.predict._runs import (
    DATASET,
    ENTRY,
    FOLDS,
    SUITE,
    Answer,
    FakeAdapter,
    Use,
)

if TYPE_CHECKING:
    from anndata import AnnData


@pytest.fixture
def plan(in_folder: Path, atlas: "AnnData", atlas_roles: pd.DataFrame, atlas_board: Board) -> Plan:
    """Write the cases of three folds and plan one fake model on them."""
    from leaderboard.cases import build_case

    assert in_folder.is_dir()
    for fold in range(FOLDS):
        case = build_case(atlas, atlas_roles, atlas_board, fold, "test")
        at = Path(atlas_board.id) / layout.fold_name(fold)
        write_h5ad(layout.cases(SUITE, DATASET) / at / "inputs.h5ad", case.inputs)
        write_parquet(layout.truth(SUITE, DATASET) / at / "truth.parquet", case.truth)
    return Plan(
        entry=ENTRY, suite=SUITE, dataset=DATASET, boards=(atlas_board,), models={"fake": {}},
        seeds=(0,), limits=TierLimits(), threads=1, key="key", splits={atlas_board.id: "abc"},
    )  # fmt: skip


@pytest.fixture
def use(monkeypatch: pytest.MonkeyPatch) -> Use:
    """Put a fake model in the registry."""

    def use_answer(answer: Answer, **changes: Any) -> None:
        model = Model(
            name="fake", label="Fake", tasks=("cell_type_annotation",),
            load=lambda **_parameters: FakeAdapter(answer),
        )  # fmt: skip
        other = replace(model, name="other", tasks=("perturbation_prediction",))
        models = {"fake": replace(model, **changes), "other": other}
        monkeypatch.setattr(predict, "MODELS", models)

    return use_answer
