"""Energy distance of cells against scipy and worked examples."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from scipy.spatial.distance import cdist, pdist
from scipy.stats import energy_distance as one_dimension

from leaderboard.errors import UndefinedScoreError
from leaderboard.metrics import METRICS
from leaderboard.metrics import energy_distance as module
from leaderboard.metrics._cells import build_samples, build_truths
from leaderboard.metrics.energy_distance import energy_distance, sum_distances
from leaderboard.spec import PerturbationUnit
from tests.metrics._screens import DEPTH, Screen, simulate, unit

GENES = ("A", "B", "T")
METRIC = METRICS["energy_distance"]


@pytest.fixture(scope="module")
def screen() -> Screen:
    return simulate(1, n_perturbations=3, n_cells=30, n_genes=60, n_controls=20)


def case_of(predicted: np.ndarray, counts: np.ndarray) -> PerturbationUnit:
    """One perturbation of gene T; true cells are scaled to 10 counts."""
    cells = pd.DataFrame({"perturbation": "T", "context": "k", "role": ["test"] * len(counts)})
    truths = build_truths(
        sp.csr_matrix(counts), cells, GENES, factors=counts.sum(axis=1), target_sum=10.0
    )
    table = pd.DataFrame(predicted, columns=list(GENES)).assign(perturbation="T", context="k")
    return unit(build_samples(table, truths)["T", "k"])


def plain(screen: Screen, perturbation: str) -> float:
    """The definition, with scipy's distances."""
    kept = [k for k, gene in enumerate(screen.genes) if gene not in set(screen.predicted)]
    rows = np.flatnonzero((screen.cells["perturbation"] == perturbation).to_numpy())
    counts = screen.counts[rows].toarray().astype(np.float64)
    true = np.log1p(counts / counts.sum(axis=1, keepdims=True) * DEPTH)[:, kept]
    said = np.log1p(screen.predicted_counts[(screen.predicted == perturbation).to_numpy()])[:, kept]
    return float(2 * cdist(said, true).mean() - pdist(said).mean() - pdist(true).mean())


def test_it_equals_its_definition_with_scipys_distances(screen: Screen) -> None:
    for perturbation, case in screen.units().items():
        expected = plain(screen, perturbation)
        assert energy_distance(case) == pytest.approx(expected, abs=1e-9)
        assert expected > 0.05


def test_a_worked_example() -> None:
    """True cells (log 6, log 6) twice; predicted ones at distances 3, 4 and 5 from each other."""
    counts = np.array([[5.0, 5.0, 0.0], [50.0, 50.0, 0.0]])
    start = np.log(6.0)
    predicted = np.array([[start + 3.0, start, 7.0], [start, start + 4.0, 0.0]])
    value = energy_distance(case_of(predicted, counts))
    assert value == pytest.approx(2 * (3 + 4) / 2 - 5 - 0, abs=1e-9)


def test_in_one_dimension_it_equals_scipys_but_for_the_cell_itself() -> None:
    """Scipy's is the root of half, and its means hold the distance of a cell to itself."""
    rng = np.random.default_rng(0)
    a, b = rng.random(12) * 3, rng.integers(1, 40, 15).astype(np.float64)
    counts = np.column_stack([b, np.zeros(15), 40 - b])
    true = np.log1p(b / 4)
    value = energy_distance(case_of(np.column_stack([a, np.zeros(12), np.ones(12)]), counts))
    within = [cdist(z[:, None], z[:, None]).mean() / (len(z) - 1) for z in (a, true)]
    assert value == pytest.approx(2 * one_dimension(a, true) ** 2 / 2 - sum(within), abs=1e-9)


def test_a_perfect_sampler_scores_zero_on_average() -> None:
    rng = np.random.default_rng(0)
    found = []
    for _ in range(300):
        counts = rng.multinomial(10, [0.3, 0.5, 0.2], 12).astype(np.float64)
        other = np.log1p(rng.multinomial(10, [0.3, 0.5, 0.2], 5).astype(np.float64))
        found.append(energy_distance(case_of(other, counts)))
    error = np.std(found) / np.sqrt(len(found))
    assert abs(np.mean(found)) < 3 * error
    assert min(found) < 0


def test_a_right_mean_without_spread_is_worse_than_a_sampler() -> None:
    rng = np.random.default_rng(1)
    counts = rng.multinomial(10, [0.3, 0.5, 0.2], 60).astype(np.float64)
    sampler = np.log1p(rng.multinomial(10, [0.3, 0.5, 0.2], 60).astype(np.float64))
    mean = np.tile(np.log1p(counts).mean(axis=0), (60, 1))
    assert energy_distance(case_of(sampler, counts)) < energy_distance(case_of(mean, counts)) / 2


def test_targets_of_the_panel_do_not_count(screen: Screen) -> None:
    column = screen.genes.index(str(screen.predicted.iloc[0]))
    spiked = screen.predicted_counts.copy()
    spiked[:, column] += 500
    for name, case in replace(screen, predicted_counts=spiked).units().items():
        assert energy_distance(case) == pytest.approx(energy_distance(screen.units()[name]))


def test_blocks_do_not_change_the_sum(monkeypatch: pytest.MonkeyPatch) -> None:
    one, other = np.random.default_rng(0).random((2, 23, 7))
    expected = cdist(one, other).sum(), cdist(one, one).sum()
    for block in (1, 5, 100):
        monkeypatch.setattr(module, "BLOCK", block)
        found = sum_distances(one, other), sum_distances(one, one)
        assert found == pytest.approx(expected, rel=1e-12)


def test_the_order_of_cells_and_genes_does_not_count(screen: Screen) -> None:
    rng = np.random.default_rng(0)
    genes, rows = rng.permutation(len(screen.genes)), rng.permutation(len(screen.predicted))
    other = replace(
        screen,
        genes=tuple(screen.genes[g] for g in genes),
        counts=screen.counts[:, genes],
        predicted_counts=screen.predicted_counts[rows][:, genes],
        predicted=screen.predicted.iloc[rows],
    )
    for name, case in other.units().items():
        assert energy_distance(case) == pytest.approx(energy_distance(screen.units()[name]))


def test_too_few_cells_or_none_are_undefined() -> None:
    counts, predicted = np.array([[1.0, 2.0, 0.0]] * 3), np.zeros((2, 3))
    for case in (case_of(predicted[:1], counts), case_of(predicted, counts[:1])):
        with pytest.raises(UndefinedScoreError, match="2 predicted and 2 true cells"):
            energy_distance(case)
    with pytest.raises(UndefinedScoreError, match="no predicted cells"):
        METRIC.compute(unit(None))
