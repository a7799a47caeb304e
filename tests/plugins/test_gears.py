"""GEARS equals cell-gears 0.1.2 where it is left as published, and its repairs do what they say."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import sparse

from leaderboard.errors import PredictionError
from leaderboard.models import MODELS
from leaderboard.models._gears import Gears, Normalise, Rows, Shape, WeightedBatchNorm
from leaderboard.models._gears_fit import (
    Errors,
    Held,
    Repairs,
    Schedule,
    Screen,
    Training,
    added_by,
    loss_of,
    rows_of,
    shares,
)
from leaderboard.models._gears_graph import (
    coexpression_edges,
    nearest_edges,
    normalised,
    shared_sets_edges,
)
from leaderboard.models._gears_nodes import perturbation_nodes
from leaderboard.models._go import targets_of
from leaderboard.models._inputs import control_profiles, training_shifts
from leaderboard.spec import Case, RunContext
from tests.plugins._asking import no_log, run_of
from tests.plugins._go_sets import tiny_sets

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


# Graphs


def test_a_graph_is_normalised_like_a_dense_one() -> None:
    edges = pd.DataFrame(
        {"source": [0, 1, 2, 2], "target": [1, 0, 2, 0], "weight": [0.5, 0.25, 2.0, 1.0]}
    )
    dense = np.array([[1.0, 0.25, 1.0], [0.5, 1.0, 0.0], [0.0, 0.0, 2.0]])
    scale = 1 / np.sqrt(dense.sum(axis=1))
    expected = scale[:, None] * dense * scale[None]
    np.testing.assert_allclose(normalised(edges, 3).to_dense().numpy(), expected, rtol=1e-6)


def test_coexpression_edges_are_the_largest_correlations() -> None:
    rng = np.random.default_rng(0)
    values = rng.poisson(1.0, (60, 4)) @ rng.normal(size=(4, 12)) + 0.2 * rng.normal(size=(60, 12))
    values[:, 5] = 1.0
    found = coexpression_edges(sparse.csr_matrix(values), 0.4, 3)
    with np.errstate(invalid="ignore"):
        correlation = np.abs(np.nan_to_num(np.corrcoef(values.T)))
    for gene in range(12):
        mine = found[found["target"] == gene]
        best = [g for g in np.argsort(-correlation[gene])[:4] if correlation[gene, g] > 0.4]
        assert set(mine["source"]) == set(best)
        np.testing.assert_allclose(
            mine["weight"], correlation[gene, mine["source"]], rtol=1e-6, atol=1e-9
        )
    assert found[found["target"] == 5].empty
    assert (found["source"] == found["target"]).sum() == 11


def test_edges_of_shared_sets_are_jaccard_indices() -> None:
    sets = [frozenset("AB"), frozenset("ABC"), frozenset("BD"), frozenset("ZX")]
    found = shared_sets_edges(sets, list("ABCDZ"), ["B", "Z", "not there"], 2)
    names = np.array(list("ABCDZ"))
    pairs = {
        (names[s], names[t]): w
        for s, t, w in found[["source", "target", "weight"]].itertuples(index=False)
    }
    assert pairs == pytest.approx(
        {("B", "B"): 1.0, ("A", "B"): 2 / 3, ("C", "B"): 1 / 3, ("Z", "Z"): 1.0}
    )


def test_no_edge_reaches_below_the_threshold() -> None:
    found = nearest_edges(np.array([[0.5, 0.1, 0.3]]), [7], 0.1, 5)
    assert found.to_dict("list") == {"source": [0, 2], "target": [7, 7], "weight": [0.5, 0.3]}


# Training


@pytest.fixture(scope="module")
def planted() -> Screen:
    """12 perturbations of two families that push two blocks of genes; a family shares neighbours.

    The last of each family is held out.
    """
    rng = np.random.default_rng(3)
    effect = np.zeros((2, N_GENES))
    effect[0, :10], effect[1, 10:20] = 1.0, -1.0
    base, n = 2.0, 40
    family = np.arange(12) % 2
    names = np.repeat(np.arange(11), n)
    shift = np.vstack([np.zeros((1, N_GENES)), effect[family[:10]]])[names]
    values = np.clip(base + shift + 0.3 * rng.normal(size=shift.shape), 0, None)
    control = values[names == 0].mean(axis=0)
    paired = np.where(names == 0, np.arange(len(names)), rng.integers(0, n, len(names)))
    held = [
        Held(
            targets=(k,),
            start=control,
            truth=control + effect[family[k]],
            top=np.flatnonzero(effect[family[k]]),
        )
        for k in (10, 11)
    ]
    return Screen(
        values=sparse.csr_matrix(values.astype(np.float32)),
        cells=np.arange(len(names)),
        paired=paired,
        condition=names,
        targets=[(), *((k,) for k in range(10))],
        kept=np.ones((11, N_GENES), dtype=bool),
        control=control[None].astype(np.float32),
        context=np.zeros(len(names), dtype=int),
        held=held,
    )


def training(screen: Screen, repairs: Repairs = REPAIRED, **schedule: Any) -> Training:
    torch.manual_seed(0)
    same = (np.arange(12)[:, None] % 2 == np.arange(12)[None] % 2).astype(float)
    edges = nearest_edges(same, np.arange(12), 0.1, 12)
    nothing = normalised(edges.iloc[:0], N_GENES)
    shape = Shape(n_genes=N_GENES, n_nodes=12, hidden=16)
    made = {"epochs": 8, "learning_rate": 5e-3, "decay": 0.8, **schedule}
    return Training(Gears(shape, nothing, normalised(edges, 12)), screen, repairs, Schedule(**made))


def quiet(log: Any = no_log, work: Path | None = None) -> RunContext:
    return RunContext(seed=0, threads=1, max_epochs=None, log=log, work=work)


@pytest.mark.parametrize("repairs", [PUBLISHED, REPAIRED], ids=["published", "repaired"])
def test_it_learns_what_an_unseen_perturbation_does_from_trained_neighbours(
    planted: Screen, repairs: Repairs
) -> None:
    """The mean of the training shifts is off by half an effect in every gene of both blocks."""
    trained = training(planted, repairs)
    trained.fit(quiet())
    added, _ = added_by(trained.network, [h.targets for h in planted.held], repairs)
    for held, found in zip(planted.held, added, strict=True):
        true = held.truth - held.start
        assert np.mean((found - true) ** 2) < 0.3 * np.mean((0.5 * true) ** 2 * 2)


def test_a_killed_training_goes_on_where_it_stopped(planted: Screen, tmp_path: Path) -> None:
    class KilledError(Exception):
        pass

    seen: list[tuple[str, int]] = []

    def dying(name: str, _value: float, step: int) -> None:
        if name == "train_loss" and step == 2:
            raise KilledError

    def noting(name: str, _value: float, step: int) -> None:
        seen.append((name, step))

    whole = training(planted, epochs=4)
    whole.fit(quiet())
    with pytest.raises(KilledError):
        training(planted, epochs=4).fit(quiet(dying, tmp_path))
    resumed = training(planted, epochs=4)
    resumed.fit(quiet(noting, tmp_path))
    assert [step for name, step in seen if name == "train_loss"] == [2, 3]
    assert resumed.best_epoch == whole.best_epoch
    for name, value in whole.network.state_dict().items():
        torch.testing.assert_close(resumed.network.state_dict()[name], value, rtol=0, atol=0)
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint.pt"]


def test_it_stops_when_validation_no_longer_falls_and_keeps_the_best(planted: Screen) -> None:
    scores = iter([3.0, 1.0, 2.0, 2.0, 0.0, 0.0])
    trained = training(planted, epochs=6, patience=2)
    trained.validation_error = lambda: next(scores)  # type: ignore[method-assign]
    trained.fit(quiet())
    assert (trained.best, trained.best_epoch) == (1.0, 1)
    assert next(scores) == 0.0


def test_a_loss_that_is_no_number_is_told(planted: Screen) -> None:
    broken = sparse.csr_matrix(planted.values, copy=True)
    broken.data[0] = np.inf
    with pytest.raises(PredictionError, match="training loss of epoch 0"):
        training(replace(planted, values=broken)).fit(quiet())


# The adapter


def test_test_and_validation_cells_train_nothing(screen_case: Case) -> None:
    """Validation decides when to stop; with one epoch nothing is left to decide."""
    inputs = screen_case.inputs.copy()
    changed = inputs.copy()
    rows = np.flatnonzero(inputs.obs["role"] == "validation")
    assert len(rows)
    counts = changed.X.tolil()
    counts[rows[:5]] = counts[rows[:5]][:, ::-1]
    changed.X = sparse.csr_matrix(counts)
    model, run = MODELS["gears_coexpression"], run_of(MODELS["gears_coexpression"], None)
    one, other = (
        model.load(hidden=8, epochs=1).predict(i, screen_case.queries, run)
        for i in (inputs, changed)
    )
    pd.testing.assert_frame_equal(one, other)


def test_genes_that_no_graph_places_get_the_mean_training_shift(screen_case: Case) -> None:
    """They are never dropped."""
    inputs = screen_case.inputs
    assert screen_case.queries is not None
    queries = screen_case.queries.copy()
    queries.loc[0, "perturbation"] = "NOWHERE"
    model = MODELS["gears_coexpression"]
    table = model.load(hidden=8, epochs=1).predict(inputs, queries, run_of(model, None))
    assert len(table) == len(queries)
    genes = list(inputs.var_names)
    start = control_profiles(inputs).loc[queries.loc[0, "context"]]
    expected = start + training_shifts(inputs).mean()
    np.testing.assert_allclose(table.loc[0, genes].astype(float), expected, atol=1e-5)


def test_every_gene_is_placed_by_terms_then_coexpression_then_training(screen_case: Case) -> None:
    inputs, queries = screen_case.inputs, screen_case.queries
    assert queries is not None
    run = run_of(MODELS["gears"], None)
    by_go = perturbation_nodes(inputs, queries, run, "go", 5)
    alike = perturbation_nodes(inputs, queries, run, "coexpression", 5)
    alone = perturbation_nodes(inputs, queries, run, "none", 5)
    named = set(targets_of(inputs, queries))
    measured = named & set(inputs.var_names)
    annotated = named & set().union(*tiny_sets().values())
    assert 0 < len(measured - annotated) < len(measured) < len(named)
    assert by_go.share_go == len(annotated) / len(named)
    assert by_go.share_coexpression == len(measured - annotated) / len(named)
    assert alike.share_go == 0
    assert alike.share_coexpression == len(measured) / len(named)
    assert alone.edges.empty
    trained = set(inputs.obs.loc[inputs.obs["role"] == "train", "perturbation"].astype(str))
    assert all(alone.of(name) for name in trained)
    for nodes in (by_go, alike):
        assert (nodes.edges.groupby("target").size() <= 6).all()
        assert set(nodes.edges["target"]) <= set(nodes.number.values())
