"""Training a network on cells alone, without labels: epochs, checkpoints, when to stop."""

import math
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from leaderboard.errors import PredictionError
from leaderboard.models._batches import length_batches
from leaderboard.spec import RunContext

CHECKPOINT = "checkpoint.pt"
LEAST_RATE = 0.1
"""Share of the learning rate that is left at the end."""


class Objective(Protocol):
    """What is learned from cells: hide a part of them, and ask for it."""

    @property
    def network(self) -> nn.Module:
        """What is trained."""
        ...

    @property
    def lengths(self) -> Int[np.ndarray, " cells"]:
        """Tokens of every cell."""
        ...

    def loss(self, cells: Int[np.ndarray, " batch"], rng: np.random.Generator) -> Tensor:
        """Return the mean loss of some cells; ``rng`` draws what is hidden."""
        ...


@dataclass(frozen=True, kw_only=True)
class Course:
    """How long and how fast a network is trained."""

    epochs: int = 10
    patience: int = 3
    """Epochs without a better validation loss that end the training."""
    learning_rate: float = 1e-3
    """At its highest, after the first tenth of the steps; it falls by a cosine from there."""
    weight_decay: float = 0.01
    batch_tokens: int = 8192
    """Tokens of a batch at most, padding included."""


class Pretraining:
    """A network on its way; at the end it is the one with the best validation loss.

    Parameters
    ----------
    objective
        Holds the network, which is trained where it is.
    train, validation
        Cells to learn from, and to stop by; disjoint, neither empty.
    course
        How long and how fast.
    """

    def __init__(
        self,
        objective: Objective,
        train: Int[np.ndarray, " train"],
        validation: Int[np.ndarray, " validation"],
        course: Course,
    ) -> None:
        if not len(train) or not len(validation):
            raise PredictionError(
                f"pretraining: expected cells to learn from and cells to stop by, got {len(train)} "
                f"and {len(validation)}. Draw the split with validation cells."
            )
        self.objective, self.course = objective, course
        self.train, self.validation = train, validation
        network = objective.network
        self.device = next(network.parameters()).device
        self.optimiser = torch.optim.AdamW(
            network.parameters(), lr=course.learning_rate, weight_decay=course.weight_decay
        )
        self.best, self.best_epoch = float("inf"), -1
        self.best_state = _copied(network)

    def fit(self, run: RunContext) -> None:
        """Train; log both losses and cells per second of every epoch.

        A checkpoint in ``run.work`` is written after every epoch and taken up again.
        """
        kept = None if run.work is None else run.work / CHECKPOINT
        epochs = min(self.course.epochs, run.max_epochs or self.course.epochs)
        for epoch in range(self._resumed(kept), epochs):
            if epoch - self.best_epoch > self.course.patience and epoch > 0:
                break
            started = time.perf_counter()
            run.log("train_loss", self._epoch(epoch, epochs, run.seed), epoch)
            run.log("cells_per_second", len(self.train) / (time.perf_counter() - started), epoch)
            score = self.validation_loss()
            run.log("validation_loss", score, epoch)
            if score < self.best:
                self.best, self.best_epoch = score, epoch
                self.best_state = _copied(self.objective.network)
            self._save(kept, epoch)
        self.objective.network.load_state_dict(self.best_state)
        self.objective.network.eval()
        run.log("best_epoch", float(self.best_epoch), 0)

    def _epoch(self, epoch: int, epochs: int, seed: int) -> float:
        """Pass over all cells once; return the mean loss of a cell."""
        rng = np.random.default_rng([seed, epoch])
        network = self.objective.network
        network.train()
        # Dropout draws from torch's stream: a resumed epoch must draw what a first one would.
        torch.manual_seed(int(rng.integers(2**63)))
        batches = [*self._batches(rng.permutation(self.train))]
        order = rng.permutation(len(batches))
        total = 0.0
        for step, number in enumerate(order):
            self._set_rate((epoch + step / len(order)) / epochs)
            self.optimiser.zero_grad()
            loss = self._loss(batches[number], rng)
            loss.backward()  # type: ignore[no-untyped-call]
            nn.utils.clip_grad_norm_(network.parameters(), 1.0)
            self.optimiser.step()
            total += float(loss.detach()) * len(batches[number])
        if not np.isfinite(total):
            raise PredictionError(
                f"pretraining: the loss of epoch {epoch} is {total}, expected a finite number. A "
                "smaller learning rate may help."
            )
        return total / len(self.train)

    def _batches(self, cells: Int[np.ndarray, " cells"]) -> Iterator[Int[np.ndarray, " batch"]]:
        """Yield cells of like length; those of equal length fall together by chance."""
        for members in length_batches(self.objective.lengths[cells], self.course.batch_tokens):
            yield cells[members]

    def _loss(self, cells: Int[np.ndarray, " batch"], rng: np.random.Generator) -> Tensor:
        is_mixed = self.device.type == "cuda"
        with torch.autocast(self.device.type, torch.bfloat16, enabled=is_mixed):
            return self.objective.loss(cells, rng)

    def _set_rate(self, done: float) -> None:
        rising, falling = done / 0.1, 0.5 * (1 + math.cos(math.pi * done))
        share = min(rising, 1.0) * (LEAST_RATE + (1 - LEAST_RATE) * falling)
        for group in self.optimiser.param_groups:
            group["lr"] = self.course.learning_rate * share

    @torch.no_grad()
    def validation_loss(self) -> float:
        """Return the mean loss of a validation cell; the same is hidden every time."""
        self.objective.network.eval()
        rng = np.random.default_rng(0)
        batches = [*self._batches(self.validation)]
        losses = [float(self._loss(batch, rng)) * len(batch) for batch in batches]
        return float(np.sum(losses)) / len(self.validation)

    def _save(self, path: Path | None, epoch: int) -> None:
        if path is None:
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        state = {
            "epoch": epoch,
            "network": self.objective.network.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "best": (self.best, self.best_epoch),
            "best_state": self.best_state,
        }
        torch.save(state, path.with_suffix(".new"))
        path.with_suffix(".new").replace(path)

    def _resumed(self, path: Path | None) -> int:
        """Take up a checkpoint that is there; return the epoch to begin with."""
        if path is None or not path.is_file():
            return 0
        state = torch.load(path, map_location=self.device, weights_only=True)
        self.objective.network.load_state_dict(state["network"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.best, self.best_epoch = state["best"]
        self.best_state = state["best_state"]
        return int(state["epoch"]) + 1


def _copied(network: nn.Module) -> dict[str, Float[Tensor, "*any"]]:
    return {name: value.clone() for name, value in network.state_dict().items()}
