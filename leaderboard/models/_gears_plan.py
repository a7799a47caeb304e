"""What decides how GEARS is trained, apart from the data; imports no torch."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Repairs:
    """Which defects of cell-gears 0.1.2 are repaired; none: as published."""

    messages: bool
    """Every cell of a batch gets the messages of the gene graph, not the first alone."""
    direction: bool
    """The term on directions has a gradient: tanh in place of the sign of the prediction."""
    variance: bool
    """The log variance is penalised; without that, the larger it is the smaller the loss."""


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """How long and how fast; the defaults are the published ones."""

    epochs: int = 20
    patience: int = 20
    """Epochs without a better validation error that end the training."""
    batch_size: int = 32
    learning_rate: float = 1e-3
    weight_decay: float = 5e-4
    decay: float = 0.5
    """Factor of the learning rate after every epoch."""
    gamma: float = 2.0
    """The error counts to the power 2 + gamma."""
