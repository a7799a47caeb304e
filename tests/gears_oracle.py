"""cell-gears' network and ours, from the same weights: one batch in training mode and one step.

Runs in an environment that holds cell-gears (see ``tests.bench_gears``) and prints, as JSON and by
case, the largest difference of predictions, loss, gradients, stepped weights and running
statistics. A difference is divided by the largest value of its tensor where that exceeds 1.
"""

import contextlib
import copy
import json
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from types import SimpleNamespace
from typing import Any
from unittest import mock

import numpy as np

from tests import gears_graph_oracle, gears_ours, gears_theirs
from tests.gears_screen import CONTROL, Screen, Size, simulate

SMALL = Size(n_genes=60, n_controls=60, n_perturbations=12, n_cells=10, n_pairs=6)
HIDDEN, DIRECTION, CLIP = 16, 0.1, 1.0
RATE, DECAY = 1e-3, 5e-4
ROUNDING, MARGIN = 1e-7, 10.0
"""Least error of a gradient, and how many of it make a sign sure."""


@dataclass(frozen=True, kw_only=True)
class Setting:
    """What a case compares."""

    conditions: tuple[str, ...] = ("single", "control", "single", "pair", "pair", "control")
    """Kinds of the first cells of a batch; ``n_more`` cells drawn from all follow."""
    n_more: int = 26
    layers: int = 1
    uncertainty: bool = False
    is_repaired: bool = False
    """Whether our side is repaired: it must then differ from theirs."""


SETTINGS = {
    "published": Setting(),
    "control first": Setting(conditions=("control", "single", "pair")),
    "two layers": Setting(layers=2),
    "uncertainty": Setting(uncertainty=True),
    "one perturbed cell": Setting(conditions=("control", "single", "control"), n_more=0),
    "controls alone": Setting(conditions=("control",) * 4, n_more=0),
    "repaired": Setting(is_repaired=True),
}


@dataclass(frozen=True, kw_only=True)
class Batch:
    """Cells by their place in the training cells, as both sides are given them."""

    places: np.ndarray
    condition: list[str]
    start: Any
    truth: Any


def differences(setting: Setting) -> dict[str, float]:
    """Take one step with both sides and return how far they are apart."""
    from leaderboard.models._gears_plan import Schedule

    screen = simulate(1, SMALL)
    theirs = _theirs(screen, setting)
    ours = gears_ours.network(
        screen, hidden=HIDDEN, layers=setting.layers, uncertainty=setting.uncertainty
    )
    ours.load_state_dict(copy.deepcopy(theirs.state_dict()), strict=True)
    rows = np.flatnonzero(screen.is_in("train"))
    controls = np.flatnonzero(np.asarray(screen.condition) == CONTROL)
    paired = np.random.default_rng(2).choice(controls, len(rows))
    mended = gears_ours.repairs(is_repaired=setting.is_repaired)
    schedule = Schedule(learning_rate=RATE, weight_decay=DECAY)
    run = gears_ours.training(screen, ours, mended, schedule, paired)
    batch = _batch(screen, rows, paired, setting)
    said, exact = _their_output(theirs, batch, screen), _exact_output(theirs, batch, screen)
    found = {
        "prediction": _apart(_our_output(run, batch), said),
        "prediction, their rounding": _apart(said, exact),
    }
    return found | _stepped(run, theirs, batch, screen)


def _theirs(screen: Screen, setting: Setting) -> Any:
    """Return their network, its normalisations away from where they begin."""
    import torch
    from gears.model import GEARS_Model

    torch.manual_seed(3)
    model = GEARS_Model(
        {
            "num_genes": len(screen.genes), "num_perts": len(screen.genes),
            "hidden_size": HIDDEN, "decoder_hidden_size": HIDDEN, "device": "cpu",
            "num_go_gnn_layers": setting.layers, "num_gene_gnn_layers": setting.layers,
            "uncertainty": setting.uncertainty, "no_perturb": False,
            **gears_theirs.graphs(screen),
        }
    )  # fmt: skip
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm1d):
            torch.nn.init.uniform_(module.weight, 0.5, 1.5)
            torch.nn.init.normal_(module.bias, std=0.3)
    return model.train()


def _batch(screen: Screen, rows: np.ndarray, paired: np.ndarray, setting: Setting) -> Batch:
    import torch

    rng = np.random.default_rng(4)
    condition = np.asarray(screen.condition)[rows]
    kind = np.array([_kind(name) for name in condition])
    first = [rng.choice(np.flatnonzero(kind == wanted)) for wanted in setting.conditions]
    places = np.array([*first, *rng.choice(len(rows), setting.n_more, replace=False)], dtype=int)
    values = screen.log_counts
    return Batch(
        places=places, condition=condition[places].tolist(),
        start=torch.as_tensor(values[paired[places]].toarray()),
        truth=torch.as_tensor(values[rows[places]].toarray()),
    )  # fmt: skip


def _kind(condition: str) -> str:
    if condition == CONTROL:
        return "control"
    return "single" if CONTROL in condition.split("+") else "pair"


def _their_output(model: Any, batch: Batch, screen: Screen) -> list[Any]:
    """Return prediction and, if stated, log variance, leaving the model as it was."""
    import torch

    with torch.no_grad():
        return _as_list(copy.deepcopy(model)(_graphs_of(batch, screen)))


def _graphs_of(batch: Batch, screen: Screen) -> SimpleNamespace:
    """Return a batch with the fields that their network reads of torch_geometric's."""
    import torch

    n = len(batch.places)
    asked = [list(gears_ours.targets(screen, name)) or [-1] for name in batch.condition]
    return SimpleNamespace(
        x=batch.start.reshape(-1, 1), pert_idx=asked,
        batch=torch.arange(n).repeat_interleave(len(screen.genes)),
    )  # fmt: skip


def _our_output(run: Any, batch: Batch) -> list[Any]:
    import torch

    from leaderboard.models._gears_fit import rows_of

    asked = run.screen.condition[batch.places]
    rows, place = rows_of(asked, run.screen.targets, run.repairs, "cpu")
    with torch.no_grad():
        added, log_variance = copy.deepcopy(run.network)(rows)
    stated = [] if log_variance is None else [log_variance[torch.as_tensor(place)]]
    return [batch.start + added[torch.as_tensor(place)], *stated]


def _as_list(output: Any) -> list[Any]:
    return list(output) if isinstance(output, tuple) else [output]


def _stepped(run: Any, theirs: Any, batch: Batch, screen: Screen) -> dict[str, float]:
    """Return how far losses, gradients, stepped weights and running statistics are apart."""
    import torch

    exact = _exact_gradients(theirs, batch, screen)
    optimiser = torch.optim.Adam(theirs.parameters(), lr=RATE, weight_decay=DECAY)
    losses = [run.loss(batch.places), _their_loss(theirs, batch, screen)]
    for loss in losses:
        loss.backward()
    ours_now, theirs_now = _gradients(run.network), _gradients(theirs)
    rounding = _apart_by_name(theirs_now, exact)
    sure = _surely_moved(theirs, exact, max(rounding, ROUNDING))
    for side, its in ((run.network, run.optimiser), (theirs, optimiser)):
        torch.nn.utils.clip_grad_value_(side.parameters(), clip_value=CLIP)
        its.step()
    weights = [
        {n: p.detach()[sure.get(n, ...)] for n, p in side.named_parameters()}
        for side in (run.network, theirs)
    ]
    return {
        "loss": _apart([losses[0].detach()], [losses[1].detach()]),
        "gradients": _apart_by_name(ours_now, theirs_now),
        "gradients, exact": _apart_by_name(ours_now, exact),
        "gradients, their rounding": rounding,
        "weights": _apart_by_name(weights[0], weights[1]),
        "weights compared": float(np.mean(np.concatenate([s.ravel() for s in sure.values()]))),
        "statistics": _apart_by_name(_statistics(run.network), _statistics(theirs)),
    }


def _gradients(model: Any) -> dict[str, Any]:
    return {n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None}


def _exact_gradients(theirs: Any, batch: Batch, screen: Screen) -> dict[str, Any]:
    """Return their gradients computed in double precision."""
    model = copy.deepcopy(theirs).double()
    _their_loss(model, _double(batch), screen).backward()
    return _gradients(model)


def _exact_output(theirs: Any, batch: Batch, screen: Screen) -> list[Any]:
    """Return their output computed in double precision."""
    return _their_output(copy.deepcopy(theirs).double(), _double(batch), screen)


def _double(batch: Batch) -> Batch:
    return replace(batch, start=batch.start.double(), truth=batch.truth.double())


def _surely_moved(theirs: Any, exact: Mapping[str, Any], rounding: float) -> dict[str, np.ndarray]:
    """Return by weight whether what Adam is given exceeds what rounding can make of it.

    Adam's first step is a rate times the sign of that, so below it either sign is right.
    """
    return {
        name: ((exact[name] + DECAY * value.detach()).abs() > MARGIN * rounding).numpy()
        for name, value in theirs.named_parameters()
        if name in exact
    }


def _statistics(model: Any) -> dict[str, Any]:
    names = ("running_mean", "running_var", "num_batches_tracked")
    return {name: value for name, value in model.named_buffers() if name.endswith(names)}


def _their_loss(model: Any, batch: Batch, screen: Screen) -> Any:
    import torch
    from gears.utils import loss_fct, uncertainty_loss_fct

    condition = np.asarray(screen.condition)
    control = screen.log_counts[condition == CONTROL].mean(axis=0)
    options = {
        "ctrl": torch.as_tensor(np.asarray(control, dtype=np.float32)).ravel(),
        "dict_filter": gears_theirs.kept_genes(screen), "direction_lambda": DIRECTION,
    }  # fmt: skip
    output = _as_list(model(_graphs_of(batch, screen)))
    if len(output) == 2:
        # Its sum begins with a leaf that it then adds to in place, which torch refuses on a CPU.
        with mock.patch("torch.tensor", lambda value, **_: torch.full((), value)):
            return uncertainty_loss_fct(*output, batch.truth, batch.condition, reg=1, **options)
    return loss_fct(output[0], batch.truth, batch.condition, **options)


def _apart(ours: Iterable[Any], theirs: Iterable[Any]) -> float:
    """Return the largest difference of two lists of tensors."""
    apart = [0.0]
    for one, other in zip(ours, theirs, strict=True):
        if one.shape != other.shape:
            raise ValueError(f"Shapes differ: ours {tuple(one.shape)}, theirs {tuple(other.shape)}")
        if one.numel():
            scale = max(1.0, float(other.abs().max()))
            apart.append(float((one.double() - other.double()).abs().max()) / scale)
    return max(apart)


def _apart_by_name(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> float:
    """Return the largest difference; infinity where one side lacks a name, unless it is zero."""
    lacking = {**ours, **theirs}.keys() - (ours.keys() & theirs.keys())
    if any(bool((ours.get(n, theirs.get(n)) != 0).any()) for n in lacking):
        return float("inf")
    names = sorted(ours.keys() & theirs.keys())
    return _apart([ours[n] for n in names], [theirs[n] for n in names])


def main() -> None:
    """Print every case's differences as JSON."""
    with contextlib.redirect_stdout(sys.stderr):
        found = {name: differences(setting) for name, setting in SETTINGS.items()}
        found["graphs"] = gears_graph_oracle.differences()
    sys.stdout.write(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
