"""Counts become the tokens of the published way, and nothing but a cell decides on its draw."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy import sparse, stats

from leaderboard.errors import CheckpointError, PredictionError
from leaderboard.models._scgpt_tokens import (
    Encoding,
    Panel,
    Vocabulary,
    bin_values,
    build_panel,
    tokenise,
)

TINY = Path(__file__).parents[1] / "fixtures" / "scgpt_tiny"
N_GENES = 40
SYMBOLS = [f"G{k}" for k in range(N_GENES)]
# Ids are not in the order of the panel, and two genes of it are unknown.
IDS = {
    name: 3 * k % 43 for k, name in enumerate([*SYMBOLS[2:], "<pad>", "<cls>", "<eoc>", "X", "Y"])
}
VOCABULARY = Vocabulary(ids=IDS, pad=IDS["<pad>"], cls=IDS["<cls>"])
ENCODING = Encoding(seed=3)


def cells(n: int = 12, seed: int = 0) -> sparse.csr_matrix:
    rng = np.random.default_rng(seed)
    counts = rng.poisson(rng.gamma(0.5, 3.0, (n, N_GENES)))
    counts[-1] = 0
    return sparse.csr_matrix(counts.astype(np.float32))


def names(n: int = 12) -> list[str]:
    return [f"cell-{k}" for k in range(n)]


def panel_of(counts: sparse.csr_matrix) -> Panel:
    return build_panel(counts, SYMBOLS, names(counts.shape[0]), VOCABULARY)


def by_cell(panel: Panel, rows: np.ndarray, encoding: Encoding) -> dict[str, dict[int, float]]:
    """Return the value of every token, by cell and id."""
    tokens = tokenise(panel, rows, encoding)
    return {
        str(panel.cell_ids[row]): dict(zip(g[:n].tolist(), v[:n].tolist(), strict=True))
        for row, g, v, n in zip(rows, tokens.genes, tokens.values, tokens.lengths, strict=True)
    }


def published_bins(values: np.ndarray, uniform: np.ndarray, n_bins: int) -> np.ndarray:
    """One cell's bins by numpy's own quantiles and bins."""
    edges = np.quantile(values, np.linspace(0, 1, n_bins - 1))
    left, right = np.digitize(values, edges), np.digitize(values, edges, right=True)
    bins: np.ndarray = np.ceil(uniform * (right - left) + left)
    return bins.astype(np.int64)


def test_bins_equal_the_originals() -> None:
    with np.load(TINY / "expected.npz") as truth:
        values, uniform = truth["bin_input"], truth["bin_uniform"]
        found = bin_values(values, np.zeros(len(values), dtype=np.int64), uniform, 51)
        assert np.array_equal(found, truth["bin_output"])


@pytest.mark.parametrize("n_bins", [3, 8, 51])
@pytest.mark.parametrize("kind", ["counts", "log"])
def test_bins_of_many_cells_equal_those_of_each_alone(kind: str, n_bins: int) -> None:
    rng = np.random.default_rng(1)
    sizes = [*range(1, 120), 491, 700]
    values = [rng.poisson(rng.choice([0.3, 2, 40]), n).astype(np.float32) + 1 for n in sizes]
    if kind == "log":
        values = [np.log1p(v * 1e4 / v.sum()).astype(np.float32) for v in values]
    uniform = [rng.random(n) for n in sizes]
    truth = [published_bins(v, u, n_bins) for v, u in zip(values, uniform, strict=True)]
    cell = np.repeat(np.arange(len(sizes)), sizes)
    found = bin_values(np.concatenate(values), cell, np.concatenate(uniform), n_bins)
    assert np.array_equal(found, np.concatenate(truth))
    assert (found.min(), found.max()) == (1, n_bins - 1)


def test_edges_are_numpys_to_the_last_digit() -> None:
    # At 50 values each edge should be one of them, and interpolation rounds to one side of it.
    uniform = np.random.default_rng(2).random(50)
    for n_low in range(1, 50):
        values = np.repeat(np.array([0.1, 0.3], dtype=np.float32), [n_low, 50 - n_low])
        found = bin_values(values, np.zeros(50, dtype=np.int64), uniform, 51)
        assert np.array_equal(found, published_bins(values, uniform, 51))


def test_a_cell_is_its_own_token_and_the_genes_that_it_expresses() -> None:
    counts = cells()
    panel = panel_of(counts)
    tokens = by_cell(panel, np.arange(12), ENCODING)
    dense = counts.toarray()
    for row, name in enumerate(names()):
        shown = {IDS[s] for s in SYMBOLS[2:] if dense[row, SYMBOLS.index(s)]}
        assert set(tokens[name]) == shown | {VOCABULARY.cls}
        assert tokens[name][VOCABULARY.cls] == ENCODING.pad_value
    made = tokenise(panel, np.arange(12), ENCODING)
    assert np.array_equal(made.lengths, panel.lengths(ENCODING))
    assert made.lengths[-1] == 1
    assert made.genes.shape[1] == made.lengths.max()
    padding = np.arange(made.genes.shape[1]) >= made.lengths[:, None]
    assert (made.genes[:, 0] == VOCABULARY.cls).all()
    assert (made.genes[padding] == VOCABULARY.pad).all()
    assert (made.values[padding] == ENCODING.pad_value).all()


def test_a_zero_that_is_stored_is_no_count() -> None:
    counts = cells()
    stored = counts.copy()
    stored.data[::3] = 0
    plain = stored.copy()
    plain.eliminate_zeros()
    assert stored.nnz > plain.nnz
    one, two = panel_of(stored), panel_of(plain)
    assert by_cell(one, np.arange(12), ENCODING) == by_cell(two, np.arange(12), ENCODING)
    assert one.coverage == two.coverage


def test_higher_counts_never_have_lower_bins() -> None:
    counts = cells()
    for row, name in enumerate(names()):
        told = by_cell(panel_of(counts), np.arange(12), ENCODING)[name]
        count = {IDS[s]: counts[row, SYMBOLS.index(s)] for s in SYMBOLS[2:]}
        genes = [g for g in told if g != VOCABULARY.cls]
        for one in genes:
            assert all(told[one] <= told[two] for two in genes if count[one] < count[two])


@pytest.mark.parametrize("encoding", [ENCODING, replace(ENCODING, max_tokens=7)])
def test_order_of_cells_and_genes_and_batches_do_not_matter(encoding: Encoding) -> None:
    counts, rows = cells(), np.arange(12)
    truth = by_cell(panel_of(counts), rows, encoding)
    rng = np.random.default_rng(2)
    order, genes = rng.permutation(12), rng.permutation(N_GENES)
    moved = build_panel(
        counts[order][:, genes],
        [SYMBOLS[g] for g in genes],
        [names()[cell] for cell in order],
        VOCABULARY,
    )
    assert by_cell(moved, rows, encoding) == truth
    parts = [by_cell(moved, batch, encoding) for batch in np.split(rng.permutation(rows), [1, 5])]
    assert {k: v for part in parts for k, v in part.items()} == truth
    assert by_cell(panel_of(counts), rows, replace(encoding, seed=4)) != truth


def test_a_cell_with_too_many_genes_keeps_a_fair_choice_of_them() -> None:
    n, room = 600, 9
    counts = sparse.csr_matrix(np.tile(np.arange(1, N_GENES + 1, dtype=np.float32), (n, 1)))
    panel = panel_of(counts)
    short = replace(ENCODING, max_tokens=room + 1)
    kept, whole = (by_cell(panel, np.arange(n), e) for e in (short, ENCODING))
    times = dict.fromkeys(panel.genes.tolist(), 0)
    for name, tokens in kept.items():
        assert len(tokens) == room + 1
        assert tokens.items() <= whole[name].items(), "binned before the choice"
        for gene in tokens.keys() - {VOCABULARY.cls}:
            times[gene] += 1
    # Drawn without replacement, times vary less than a multinomial's: the test is lenient.
    assert stats.chisquare(list(times.values())).pvalue > 1e-3
    assert len({tuple(sorted(t)) for t in kept.values()}) > n / 2


def test_tied_values_are_spread_evenly_over_the_bins_of_their_edges() -> None:
    n = 400
    counts = sparse.csr_matrix(np.ones((n, N_GENES), dtype=np.float32))
    values = tokenise(panel_of(counts), np.arange(n), ENCODING).values[:, 1:]
    times = np.bincount(values.astype(int).ravel(), minlength=51)
    assert times[0] == 0
    assert stats.chisquare(times[1:]).pvalue > 1e-3


def test_coverage_is_of_genes_and_of_counts() -> None:
    counts = sparse.csr_matrix(
        np.array([[3, 1, 0], [0, 0, 4], [2, 0, 0], [0, 0, 0]], dtype=np.float32)
    )
    ids = {"B": 0, "C": 1, "<pad>": 2, "<cls>": 3}
    vocabulary = Vocabulary(ids=ids, pad=2, cls=3)
    coverage = build_panel(counts, ["A", "B", "C"], list("wxyz"), vocabulary).coverage
    assert coverage.genes_fraction == pytest.approx(2 / 3)
    assert coverage.counts_fraction == pytest.approx(5 / 10)
    assert coverage.empty_cells == 2


def test_case_matters_and_special_tokens_are_no_genes() -> None:
    assert VOCABULARY.genes(["G2", "g2", "<pad>", "<cls>", "absent"]).tolist() == [
        0,
        -1,
        -1,
        -1,
        -1,
    ]


def test_bad_counts_are_one_clear_error() -> None:
    counts = cells()
    with pytest.raises(CheckpointError, match=r"none of 40 genes \(such as ENSG0"):
        build_panel(counts, [f"ENSG{k}" for k in range(N_GENES)], names(), VOCABULARY)
    with pytest.raises(PredictionError, match="expected 12 cells x 39 genes, as named, got 12 x"):
        build_panel(counts, SYMBOLS[1:], names(), VOCABULARY)
    with pytest.raises(PredictionError, match="cell ids: expected each once, got 1"):
        build_panel(counts, SYMBOLS, [*names()[1:], "cell-3"], VOCABULARY)
    with pytest.raises(PredictionError, match="gene ids: expected each once, got 1"):
        build_panel(counts, ["G7", *SYMBOLS[1:]], names(), VOCABULARY)
    for value in (-1.0, np.nan, np.inf):
        broken = counts.copy()
        broken.data[3] = value
        with pytest.raises(PredictionError, match="expected finite values from 0 on"):
            panel_of(broken)
