"""What inputs show of a case, worked out cell by cell, and how a prediction is held against it."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from leaderboard.models import MODELS
from leaderboard.spec import Case
from tests.plugins._asking import ask, dense_profiles, run_of

GENES = [f"G{i:03d}" for i in range(70)]


class Known:
    """What inputs show of a case: controls, training profiles and shifts, equal weights."""

    def __init__(self, case: Case) -> None:
        cells = dense_profiles(case.inputs)
        self.cells = cells
        self.control: Any = cells[cells["role"] == "control_input"].groupby("context")[GENES].mean()
        trained = cells[cells["role"].isin(["train", "validation"])]
        self.profiles: Any = trained.groupby(["perturbation", "context"])[GENES].mean()
        contexts = self.profiles.index.get_level_values("context")
        self.shifts: Any = self.profiles - self.control.loc[contexts].to_numpy()

    def of(self, table: pd.DataFrame, name: str, context: str) -> Any:
        """A single's row in the context, else its mean over contexts, else None."""
        if (name, context) in table.index:
            return table.loc[(name, context)]
        if name in table.index.get_level_values("perturbation"):
            return table.xs(name, level="perturbation").mean()
        return None


def predicted(name: str, case: Case, **parameters: Any) -> pd.DataFrame:
    """Mean profiles by query."""
    if parameters:
        model = MODELS[name]
        assert case.queries is not None
        table = model.load(**parameters).predict(
            case.inputs.copy(), case.queries, run_of(model, None)
        )
    else:
        table = ask(
            MODELS[name],
            "perturbation_prediction",
            {"perturbation_prediction": (case, Path("nowhere"))},
        )
    means: pd.DataFrame = table[table["statistic"] == "mean"]
    return means.set_index(["perturbation", "context"])[GENES].astype(np.float64)


def check(found: pd.DataFrame, expected: Any) -> None:
    rows = [np.asarray(expected(p, c), dtype=np.float64) for p, c in found.index]
    np.testing.assert_allclose(found.to_numpy(), np.stack(rows), atol=2e-5)
