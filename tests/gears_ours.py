"""Our GEARS on the benchmark's screen, in the inner interface: a network, cells and a schedule."""

import time
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from tests.gears_screen import CONTROL, Graph, Screen

if TYPE_CHECKING:
    from leaderboard.models._gears import Gears
    from leaderboard.models._gears_fit import Held, Training
    from leaderboard.models._gears_fit import Screen as Cells
    from leaderboard.models._gears_plan import Repairs

N_TOP = 20
SEED = 0
AFTER_TRAINING, AFTER_EVALUATION = "train_loss", "validation_mse_top"
"""What ``Training`` logs right after an epoch's steps and right after its validation."""


def fit(
    screen: Screen, *, epochs: int, batch_size: int, hidden: int, device: str, is_repaired: bool
) -> dict[str, Any]:
    """Train our network and return seconds of every part and what it was trained on."""
    import torch

    from leaderboard.models._gears_fit import added_by
    from leaderboard.models._gears_plan import Schedule
    from leaderboard.spec import RunContext

    torch.manual_seed(SEED)
    started = time.perf_counter()
    prepared = training(
        screen, network(screen, hidden=hidden).to(device), repairs(is_repaired=is_repaired),
        Schedule(epochs=epochs, patience=epochs, batch_size=batch_size),
    )  # fmt: skip
    seconds = time.perf_counter() - started
    clock = _Clock()
    prepared.fit(RunContext(seed=SEED, threads=torch.get_num_threads(), max_epochs=None, log=clock))
    held = prepared.screen.held
    added, _ = added_by(prepared.network, [h.targets for h in held], prepared.repairs)
    errors = [np.mean((h.start + a - h.truth) ** 2) for h, a in zip(held, added, strict=True)]
    cells = len(prepared.screen.cells)
    return {
        **clock.seconds, "prepare": seconds, "steps": cells // batch_size, "cells": cells,
        "error": float(np.mean(errors)),
    }  # fmt: skip


class _Clock:
    """Stands in for the log of a run and keeps how long each epoch's two parts took."""

    def __init__(self) -> None:
        self.seconds: dict[str, list[float]] = {"train": [], "train_cpu": [], "evaluation": []}
        self._last = time.perf_counter(), time.process_time()

    def __call__(self, name: str, value: float, step: int) -> None:  # noqa: ARG002
        now = time.perf_counter(), time.process_time()
        if name == AFTER_TRAINING:
            self.seconds["train"].append(now[0] - self._last[0])
            self.seconds["train_cpu"].append(now[1] - self._last[1])
        elif name == AFTER_EVALUATION:
            self.seconds["evaluation"].append(now[0] - self._last[0])
        self._last = now


def repairs(*, is_repaired: bool) -> "Repairs":
    """Return all repairs, or none: cell-gears as published."""
    from leaderboard.models._gears_plan import Repairs

    return Repairs(messages=is_repaired, direction=is_repaired, variance=is_repaired)


def network(screen: Screen, *, hidden: int, layers: int = 1, uncertainty: bool = False) -> "Gears":
    """Return a network over the screen's genes, whose perturbations are nodes in that order."""
    from leaderboard.models._gears import Gears, Shape
    from leaderboard.models._gears_graph import normalised

    n = len(screen.genes)
    shape = Shape(
        n_genes=n, n_nodes=n, hidden=hidden, gene_layers=layers, perturbation_layers=layers,
        uncertainty=uncertainty,
    )  # fmt: skip
    return Gears(
        shape, normalised(edges(screen.coexpression), n), normalised(edges(screen.ontology), n)
    )


def edges(graph: Graph) -> pd.DataFrame:
    """Return a graph as ``source target weight``."""
    return pd.DataFrame(vars(graph))


def training(
    screen: Screen, model: "Gears", mended: "Repairs", schedule: Any, paired: Any = None
) -> "Training":
    """Return our training on the screen's training cells.

    ``paired``: row of the control cell that each of them starts from; drawn where not given.
    """
    from leaderboard.models._gears_fit import Training

    return Training(model, _cells(screen, paired), mended, schedule)


def _cells(screen: Screen, paired: Any) -> "Cells":
    from leaderboard.models._gears_fit import Screen as Cells

    condition = np.asarray(screen.condition)
    rows = np.flatnonzero(screen.is_in("train"))
    names = [CONTROL, *(name for name in screen.conditions("train") if name != CONTROL)]
    number = {name: k for k, name in enumerate(names)}
    expressed = {name: screen.log_counts[condition == name].getnnz(axis=0) > 0 for name in names}
    expressed[CONTROL] = np.ones(len(screen.genes), dtype=bool)
    is_control = condition == CONTROL
    if paired is None:
        drawn = np.random.default_rng(SEED).choice(np.flatnonzero(is_control), len(rows))
        paired = np.where(is_control[rows], rows, drawn)
    return Cells(
        values=screen.log_counts, cells=rows, paired=paired,
        condition=np.array([number[name] for name in condition[rows]]),
        targets=[targets(screen, name) for name in names],
        kept=np.stack([expressed[name] for name in names]),
        control=_mean(screen, is_control)[None].astype(np.float32),
        context=np.zeros(len(rows), dtype=int),
        held=[_held(screen, name) for name in screen.conditions("val")],
    )  # fmt: skip


def targets(screen: Screen, condition: str) -> tuple[int, ...]:
    """Return the nodes that a condition perturbs."""
    return tuple(screen.genes.index(g) for g in condition.split("+") if g != CONTROL)


def _held(screen: Screen, name: str) -> "Held":
    from leaderboard.models._gears_fit import Held

    condition = np.asarray(screen.condition)
    start = _mean(screen, condition == CONTROL)
    truth = _mean(screen, condition == name)
    top = np.argsort(-np.abs(truth - start), kind="stable")[:N_TOP]
    return Held(targets=targets(screen, name), start=start, truth=truth, top=top)


def _mean(screen: Screen, chosen: np.ndarray) -> np.ndarray:
    return np.asarray(screen.log_counts[chosen].mean(axis=0)).ravel()
