"""Training without labels: it learns, stops, keeps the best, and goes on where it was killed."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from leaderboard.errors import PredictionError
from leaderboard.models._pretrain import Course, Pretraining
from leaderboard.spec import RunContext

TRAIN, VALIDATION = np.arange(160), np.arange(160, 200)


class Hidden:
    """A hidden number of a cell is the sum of the others: linear, so a linear network finds it."""

    def __init__(self) -> None:
        torch.manual_seed(0)
        self.network = nn.Sequential(nn.Dropout(0.05), nn.Linear(6, 6))
        rng = np.random.default_rng(0)
        values = rng.normal(size=(200, 5))
        self.values = np.column_stack([values, values.sum(axis=1)]).astype(np.float32)
        self.lengths = rng.integers(1, 30, 200)
        self.seen: list[np.ndarray] = []

    def loss(self, cells: np.ndarray, rng: np.random.Generator) -> Tensor:
        self.seen.append(cells)
        asked = rng.integers(0, 6, len(cells))
        truth = torch.from_numpy(self.values[cells])
        shown = truth.clone()
        rows = torch.arange(len(cells))
        shown[rows, asked] = 0
        found = self.network(shown)[rows, asked]
        return nn.functional.mse_loss(found, truth[rows, asked])


def context(log: Any = None, work: Path | None = None) -> RunContext:
    return RunContext(seed=0, threads=1, max_epochs=None, log=log or (lambda *_: None), work=work)


def made(objective: Hidden, **changes: Any) -> Pretraining:
    course = {"epochs": 40, "patience": 40, "learning_rate": 0.03, "batch_tokens": 128, **changes}
    return Pretraining(objective, TRAIN, VALIDATION, Course(**course))


def test_it_learns_from_every_training_cell_once_an_epoch() -> None:
    curves: dict[str, list[float]] = {}
    objective = Hidden()
    training = made(objective, weight_decay=0.0)
    before = training.validation_loss()
    objective.seen.clear()
    training.fit(context(lambda name, value, _step: curves.setdefault(name, []).append(value)))
    assert training.validation_loss() < 0.25 * before
    trained = [cells for cells in objective.seen if cells[0] in TRAIN]
    once = np.concatenate(trained[: len(trained) // 40])
    assert np.array_equal(np.sort(once), TRAIN)
    assert len(curves["train_loss"]) == len(curves["validation_loss"]) == 40
    assert training.validation_loss() == pytest.approx(min(curves["validation_loss"]))


def test_it_stops_and_keeps_the_best() -> None:
    objective = Hidden()
    training = made(objective, patience=2, learning_rate=0.0)
    curve: list[float] = []
    training.fit(
        context(lambda name, value, _s: curve.append(value) if name == "validation_loss" else None)
    )
    assert len(curve) == 3
    assert training.best_epoch == 0


def test_a_killed_training_goes_on_where_it_stopped(tmp_path: Path) -> None:
    class KilledError(Exception):
        pass

    def dying(name: str, _value: float, step: int) -> None:
        if (name, step) == ("train_loss", 2):
            raise KilledError

    whole, cut, resumed = Hidden(), Hidden(), Hidden()
    made(whole, epochs=4).fit(context())
    with pytest.raises(KilledError):
        made(cut, epochs=4).fit(context(dying, tmp_path))
    steps: list[int] = []
    made(resumed, epochs=4).fit(
        context(lambda name, _v, step: steps.append(step) if name == "train_loss" else None,
                tmp_path)
    )  # fmt: skip
    assert steps == [2, 3]
    for name, value in whole.network.state_dict().items():
        torch.testing.assert_close(resumed.network.state_dict()[name], value, rtol=0, atol=0)
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint.pt"]


def test_the_rate_rises_first_and_falls_to_a_tenth() -> None:
    training = made(Hidden())
    rates = []
    for done in np.linspace(0, 1, 201):
        training._set_rate(float(done))
        rates.append(training.optimiser.param_groups[0]["lr"] / 0.03)
    assert rates[0] == 0
    assert max(rates) == pytest.approx(1.0, abs=0.05)
    assert np.argmax(rates) == 20
    assert rates[-1] == pytest.approx(0.1)


def test_cells_to_stop_by_are_needed_and_a_loss_that_is_no_number_ends_it() -> None:
    with pytest.raises(PredictionError, match="validation cells"):
        Pretraining(Hidden(), TRAIN, VALIDATION[:0], Course())
    objective = Hidden()
    objective.values[:, 0] = np.nan
    with pytest.raises(PredictionError, match="loss of epoch 0 is nan"):
        made(objective).fit(context())
