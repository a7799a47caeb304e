"""GEARS equals cell-gears 0.1.2 where it is left as published, and its repairs do what they say."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from leaderboard.models._gears import Gears, Normalise, Rows, Shape, WeightedBatchNorm
from leaderboard.models._gears_fit import (
    Errors,
    loss_of,
    rows_of,
    shares,
)
from leaderboard.models._gears_graph import (
    normalised,
)
from leaderboard.models._gears_plan import Repairs

FIXTURE = Path(__file__).parents[1] / "fixtures" / "gears_tiny"
N_GENES, N_NODES = 40, 55
PUBLISHED = Repairs(messages=False, direction=False, variance=False)
REPAIRED = Repairs(messages=True, direction=True, variance=True)


@pytest.fixture(scope="module")
def expected() -> dict[str, np.ndarray]:
    """What cell-gears computed with random weights of its own layout."""
    with np.load(FIXTURE / "expected.npz") as file:
        return dict(file)


def graph(expected: dict[str, np.ndarray], name: str, n: int) -> torch.Tensor:
    source, target = expected[f"{name}_index"]
    edges = {"source": source, "target": target, "weight": expected[f"{name}_weight"]}
    return normalised(pd.DataFrame(edges), n)


@pytest.fixture(scope="module", params=[0, 1], ids=["plain", "uncertainty"])
def original(request: pytest.FixtureRequest, expected: dict[str, np.ndarray]) -> Gears:
    shape = Shape(
        n_genes=N_GENES,
        n_nodes=N_NODES,
        hidden=16,
        gene_layers=2,
        perturbation_layers=2,
        uncertainty=bool(request.param),
    )
    network = Gears(shape, graph(expected, "co", N_GENES), graph(expected, "go", N_NODES))
    weights = torch.load(FIXTURE / f"model_unc{request.param}.pt", weights_only=True)
    network.load_state_dict(weights, strict=True)
    return network.eval()


def targets(expected: dict[str, np.ndarray]) -> list[tuple[int, ...]]:
    return [tuple(n for n in nodes if n != -1) for nodes in json.loads(str(expected["perts"]))]


@pytest.mark.parametrize(("joined", "name"), [(5, "single"), (1, "batch")])
@torch.no_grad()
def test_the_forward_pass_is_that_of_cell_gears(
    original: Gears, expected: dict[str, np.ndarray], joined: int, name: str
) -> None:
    """Asked one cell at a time it hears the graph in all cells, in a batch in the first alone."""
    stated = hasattr(original, "uncertainty_w")
    rows = Rows(
        targets=targets(expected),
        condition=torch.arange(5),
        joined=joined,
        weight=torch.ones(5),
    )
    added, log_variance = original(rows)
    found = added.numpy() + expected[f"x{int(stated)}"]
    np.testing.assert_allclose(found, expected[f"y_{name}{int(stated)}"], atol=1e-5)
    assert (log_variance is not None) == stated
    if log_variance is not None and joined == len(rows.targets):
        np.testing.assert_allclose(log_variance.numpy(), expected["logvar_single"], atol=1e-5)


def test_the_two_modes_differ_on_the_fixture(expected: dict[str, np.ndarray]) -> None:
    assert np.abs(expected["y_single0"] - expected["y_batch0"]).max() > 1e-4


def errors_of(expected: dict[str, np.ndarray]) -> Errors:
    names = [str(name) for name in expected["loss_cond"]]
    present = sorted(set(names))
    kept = np.ones((len(present), N_GENES), dtype=bool)
    for name, genes in (("A+ctrl", "keep_A"), ("B+C", "keep_BC")):
        kept[present.index(name)] = np.isin(np.arange(N_GENES), expected[genes])
    condition = np.array([present.index(name) for name in names])
    return Errors(
        predicted=torch.as_tensor(expected["loss_pred"]),
        truth=torch.as_tensor(expected["loss_y"]),
        control=torch.as_tensor(expected["loss_ctrl"])[None],
        share=torch.as_tensor(shares(condition, kept)),
    )


def test_the_published_loss_is_that_of_cell_gears(expected: dict[str, np.ndarray]) -> None:
    found = float(loss_of(errors_of(expected), PUBLISHED))
    assert found == pytest.approx(float(expected["loss_value"]), abs=1e-5)


def test_only_the_repaired_term_on_directions_trains_anything(
    expected: dict[str, np.ndarray],
) -> None:
    def gradient(repairs: Repairs, direction: float) -> torch.Tensor:
        errors = errors_of(expected)
        predicted = errors.predicted.clone().requires_grad_()
        loss = loss_of(replace(errors, predicted=predicted), repairs)
        plain = (errors.share * (predicted - errors.truth) ** 4).sum()
        (loss - direction * plain).backward()  # type: ignore[no-untyped-call]
        assert predicted.grad is not None
        return predicted.grad

    assert float(gradient(PUBLISHED, 1.0).abs().max()) < 1e-7
    assert float(gradient(REPAIRED, 1.0).abs().max()) > 1e-4


def test_the_published_loss_falls_for_ever_as_a_stated_variance_grows(
    expected: dict[str, np.ndarray],
) -> None:
    """Repaired, it is smallest at the log of the error to the fourth power."""
    plain = errors_of(expected)
    best = 4 * (plain.predicted - plain.truth).abs().clamp(min=1e-3).log()

    def loss(repairs: Repairs, more: float) -> float:
        return float(loss_of(replace(plain, log_variance=best + more), repairs))

    assert loss(PUBLISHED, 0) > loss(PUBLISHED, 5) > loss(PUBLISHED, 10)
    assert loss(REPAIRED, 0) < min(loss(REPAIRED, -0.5), loss(REPAIRED, 0.5))


def test_shares_weigh_conditions_then_cells_then_genes() -> None:
    kept = np.array([[True] * 4, [True, False, False, True]])
    found = shares(np.array([1, 0, 1]), kept)
    np.testing.assert_allclose(found[1], [1 / 8] * 4)
    np.testing.assert_allclose(found[0], [1 / 8, 0, 0, 1 / 8])
    assert found.sum() == pytest.approx(1)


# Rows that stand for several cells


def test_the_normalisation_has_the_gradient_of_its_steps() -> None:
    torch.manual_seed(0)
    values = [torch.randn(s, dtype=torch.float64, requires_grad=True) for s in ((3, 4, 5), 5, 5)]
    share = torch.tensor([0.5, 0.2, 0.3], dtype=torch.float64)
    for clips in (False, True):
        assert torch.autograd.gradcheck(
            lambda *a, c=clips: Normalise.apply(a[0], share, *a[1:], (1e-5, c))[0],  # type: ignore[no-untyped-call]
            values,
        )


def test_a_weighted_row_is_normalised_like_that_many_rows() -> None:
    torch.manual_seed(1)
    x, weight = torch.randn(3, 4, 5), torch.tensor([3, 1, 2])
    ours, theirs = WeightedBatchNorm(5), torch.nn.BatchNorm1d(5)
    repeated = theirs(x.repeat_interleave(weight, dim=0).flatten(0, 1)).view(6, 4, 5)
    found = ours(x, weight.float(), clips=False).repeat_interleave(weight, dim=0)
    torch.testing.assert_close(found, repeated)
    for name in ("running_mean", "running_var", "num_batches_tracked"):
        torch.testing.assert_close(getattr(ours, name), getattr(theirs, name))
    ours.eval(), theirs.eval()
    torch.testing.assert_close(
        ours(x, weight.float(), clips=True).flatten(0, 1), theirs(x.flatten(0, 1)).relu()
    )


CONDITION = np.array([2, 0, 1, 2, 2, 0, 3])
ASKED: list[tuple[int, ...]] = [(), (4,), (7,), (4, 7)]


def one_row_a_cell(repairs: Repairs) -> Rows:
    return Rows(
        targets=ASKED,
        condition=torch.as_tensor(CONDITION),
        joined=len(CONDITION) if repairs.messages else 1,
        weight=torch.ones(len(CONDITION)),
    )


@pytest.mark.parametrize("repairs", [PUBLISHED, REPAIRED], ids=["published", "repaired"])
def test_a_row_for_each_condition_trains_like_a_row_for_each_cell(
    original: Gears, expected: dict[str, np.ndarray], repairs: Repairs
) -> None:
    """In train mode: outputs, gradients and running moments."""
    few, place = rows_of(CONDITION, ASKED, repairs, "cpu")
    assert len(few.condition) == (4 if repairs.messages else 5)
    assert few.joined == (4 if repairs.messages else 1)
    assert float(few.weight.sum()) == len(CONDITION)
    found = []
    for rows, at in ((few, torch.as_tensor(place)), (one_row_a_cell(repairs), torch.arange(7))):
        shape = Shape(
            n_genes=N_GENES, n_nodes=N_NODES, hidden=16, gene_layers=2, perturbation_layers=2
        )
        network = Gears(shape, graph(expected, "co", N_GENES), graph(expected, "go", N_NODES))
        network.load_state_dict(original.state_dict(), strict=False)
        network.train()
        added = network(rows)[0][at]
        added.square().mean().backward()
        gradients = {n: p.grad for n, p in network.named_parameters() if p.grad is not None}
        found.append((added, gradients, dict(network.named_buffers())))
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-4)
