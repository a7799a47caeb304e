"""Training GEARS: what it is trained on, its loss, its loop with checkpoints."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from scipy import sparse
from torch import Tensor

from leaderboard.errors import PredictionError
from leaderboard.models._gears import Gears, Rows
from leaderboard.models._gears_plan import Repairs, Schedule
from leaderboard.spec import RunContext

DIRECTION = 0.1
"""Weight of the term on the direction of change."""
WIDTH = 0.1
"""Change, in log1p units, at which the repaired term takes three quarters of a direction."""
AT_ONCE = 300
"""Control cells in the one batch that cell-gears predicts with."""


@dataclass(frozen=True, kw_only=True)
class Screen:
    """Cells to train on, and means that decide when to stop."""

    values: sparse.csr_matrix
    """log1p counts, cells x genes."""
    cells: Int[np.ndarray, " training"]
    """Rows of the cells to reproduce, controls among them."""
    paired: Int[np.ndarray, " training"]
    """Row of the control cell that each starts from; a control starts from itself."""
    condition: Int[np.ndarray, " training"]
    """Place in ``targets``."""
    targets: Sequence[tuple[int, ...]]
    """Nodes of every condition; the first has none: control."""
    kept: Bool[np.ndarray, "conditions genes"]
    """Genes that count in the loss: those that a cell of the condition expresses."""
    control: Float[np.ndarray, "contexts genes"]
    context: Int[np.ndarray, " training"]
    held: Sequence["Held"]


@dataclass(frozen=True, kw_only=True)
class Held:
    """One validation perturbation in one context."""

    targets: tuple[int, ...]
    start: Float[np.ndarray, " genes"]
    """Mean of the context's control cells."""
    truth: Float[np.ndarray, " genes"]
    top: Int[np.ndarray, " top"]
    """Genes that it truly changes most surely."""


@dataclass(frozen=True, kw_only=True)
class Errors:
    """What the loss of one batch is made of; cells x genes."""

    predicted: Tensor
    truth: Tensor
    control: Tensor
    share: Tensor
    """Weight of each value: equal for conditions, then for cells, then for kept genes."""
    log_variance: Tensor | None = None


def loss_of(errors: Errors, repairs: Repairs, gamma: float = 2.0) -> Tensor:
    """Return the loss: error to the power 2 + gamma, and how often the direction is wrong.

    With a log variance, the error counts once more, divided by the variance that is stated.
    """
    error = (errors.predicted - errors.truth).abs().pow(2 + gamma)
    loss = (errors.share * error).sum()
    if errors.log_variance is not None:
        stated = error * torch.exp(-errors.log_variance)
        stated = stated + errors.log_variance if repairs.variance else stated
        loss = loss + (errors.share * stated).sum()
    moved = errors.predicted - errors.control
    said = torch.tanh(moved / WIDTH) if repairs.direction else torch.sign(moved.detach())
    wrong = (torch.sign(errors.truth - errors.control) - said).square()
    return loss + DIRECTION * (errors.share * wrong).sum()


def shares(
    condition: Int[np.ndarray, " cells"], kept: Bool[np.ndarray, "conditions genes"]
) -> Float[np.ndarray, "cells genes"]:
    """Return the weight of every value in the loss of a batch; they sum to 1."""
    present, place, cells = np.unique(condition, return_inverse=True, return_counts=True)
    weight = kept[present] / np.maximum(kept[present].sum(axis=1, keepdims=True), 1)
    found: Float[np.ndarray, "cells genes"] = (weight / (cells[:, None] * len(present)))[place]
    return found.astype(np.float32)


def rows_of(
    condition: Int[np.ndarray, " cells"],
    targets: Sequence[tuple[int, ...]],
    repairs: Repairs,
    device: Any,
) -> tuple[Rows, Int[np.ndarray, " cells"]]:
    """Return the different rows of a batch, and which of them each cell asks for.

    As published, the gene graph reaches the first cell of a batch and no other: that cell has a row
    of its own.
    """
    present, place = np.unique(condition, return_inverse=True)
    weight = np.bincount(place).astype(np.float32)
    joined, asked = len(present), np.arange(len(present))
    if not repairs.messages:
        weight[place[0]] -= 1
        others = np.flatnonzero(weight > 0)
        new = np.full(len(present), -1)
        new[others] = np.arange(len(others)) + 1
        asked = np.concatenate([[place[0]], others])
        weight, place = np.concatenate([[1], weight[others]]), new[place]
        place[0], joined = 0, 1
    rows = Rows(
        targets=[targets[k] for k in present],
        condition=torch.as_tensor(asked, device=device),
        joined=joined,
        weight=torch.as_tensor(weight.astype(np.float32), device=device),
    )
    return rows, place


class Training:
    """A network on its way: one epoch after the other, the best one kept."""

    def __init__(
        self, network: Gears, screen: Screen, repairs: Repairs, schedule: Schedule
    ) -> None:
        self.network, self.screen, self.repairs, self.schedule = network, screen, repairs, schedule
        self.device = network.indv_b1.device
        self.optimiser = torch.optim.Adam(
            network.parameters(), lr=schedule.learning_rate, weight_decay=schedule.weight_decay
        )
        self.best, self.best_epoch = float("inf"), -1
        self.best_state = _copied(network)

    def fit(self, run: RunContext) -> None:
        """Train until the validation error no longer falls; the network is then the best one.

        Logs both losses per epoch. A checkpoint in ``run.work`` is written after every epoch and
        taken up again.
        """
        kept = None if run.work is None else run.work / "checkpoint.pt"
        epochs = min(self.schedule.epochs, run.max_epochs or self.schedule.epochs)
        for epoch in range(self._resumed(kept), epochs):
            if epoch - self.best_epoch > self.schedule.patience and epoch > 0:
                break
            run.log("train_loss", self._epoch(epoch, run.seed), epoch)
            score = self.validation_error()
            run.log("validation_mse_top", score, epoch)
            if score < self.best:
                self.best, self.best_epoch, self.best_state = score, epoch, _copied(self.network)
            self._save(kept, epoch)
        self.network.load_state_dict(self.best_state)
        self.network.eval()
        run.log("best_epoch", float(self.best_epoch), 0)

    def _epoch(self, epoch: int, seed: int) -> float:
        """Pass over all cells once, without the rest that fills no batch; return the mean loss."""
        schedule = self.schedule
        rng = np.random.default_rng([seed, epoch])
        order = rng.permutation(len(self.screen.cells))
        size = min(schedule.batch_size, len(order))
        batches = order[: len(order) // size * size].reshape(-1, size)
        for group in self.optimiser.param_groups:
            group["lr"] = schedule.learning_rate * schedule.decay**epoch
        self.network.train()
        total = sum(self._step(batch) for batch in batches) / len(batches)
        if not np.isfinite(total):
            raise PredictionError(
                f"GEARS: the training loss of epoch {epoch} is {total}, expected a finite number. "
                "Are the counts normalised? A smaller learning rate may help."
            )
        return total

    def _step(self, batch: Int[np.ndarray, " cells"]) -> float:
        self.optimiser.zero_grad()
        loss = self.loss(batch)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_value_(self.network.parameters(), clip_value=1.0)
        self.optimiser.step()
        return float(loss.detach())

    def loss(self, batch: Int[np.ndarray, " cells"]) -> Tensor:
        """Return the loss of some training cells, by their place in ``screen.cells``."""
        screen, condition = self.screen, self.screen.condition[batch]
        rows, place = rows_of(condition, screen.targets, self.repairs, self.device)
        added, log_variance = self.network(rows)
        at = torch.as_tensor(place, device=self.device)
        errors = Errors(
            predicted=self._tensor(screen.values[screen.paired[batch]]) + added[at],
            truth=self._tensor(screen.values[screen.cells[batch]]),
            control=self._tensor(screen.control[screen.context[batch]]),
            share=self._tensor(shares(condition, screen.kept)),
            log_variance=None if log_variance is None else log_variance[at],
        )
        return loss_of(errors, self.repairs, self.schedule.gamma)

    def _tensor(self, values: Any) -> Tensor:
        dense = values.toarray() if isinstance(values, sparse.csr_matrix) else values
        return torch.as_tensor(dense.astype(np.float32), device=self.device)

    def validation_error(self) -> float:
        """Return the mean squared error of the mean over the genes that truly change most."""
        held = self.screen.held
        added, _ = added_by(self.network, [h.targets for h in held], self.repairs)
        errors = [
            np.mean((h.start + a - h.truth)[h.top] ** 2) for h, a in zip(held, added, strict=True)
        ]
        return float(np.mean(errors))

    def _save(self, path: Path | None, epoch: int) -> None:
        if path is None:
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        state = {
            "epoch": epoch,
            "network": self.network.state_dict(),
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
        self.network.load_state_dict(state["network"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.best, self.best_epoch = state["best"]
        self.best_state = state["best_state"]
        return int(state["epoch"]) + 1


def _copied(network: Gears) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in network.state_dict().items()}


@torch.no_grad()
def added_by(
    network: Gears, asked: Sequence[tuple[int, ...]], repairs: Repairs
) -> tuple[Float[np.ndarray, "asked genes"], Float[np.ndarray, "asked genes"] | None]:
    """Return what is added to the mean of control cells, and the log variance if stated.

    As published, messages reach one of the 300 control cells that are averaged.
    """
    network.eval()
    device = network.indv_b1.device
    kinds = 1 if repairs.messages else 2
    share = np.array([1.0] if repairs.messages else [1 / AT_ONCE, 1 - 1 / AT_ONCE])
    added, stated = [], []
    for targets in asked:
        rows = Rows(
            targets=[targets],
            condition=torch.zeros(kinds, dtype=torch.long, device=device),
            joined=1,
            weight=torch.ones(kinds, device=device),
        )
        values, log_variance = network(rows)
        added.append(share @ values.cpu().numpy())
        stated += [] if log_variance is None else [share @ log_variance.cpu().numpy()]
    return np.stack(added), np.stack(stated) if stated else None
