"""Embeddings stand in the order of the cells, whatever the batches; planted kinds come apart."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy import sparse

from leaderboard.models._scgpt import Batch, ScGpt, Shape, random_network
from leaderboard.models._scgpt_checkpoint import read_checkpoint
from leaderboard.models._scgpt_embed import (
    Pace,
    embed_cells,
    embed_genes,
    embed_genes_in_context,
    to_batch,
)
from leaderboard.models._scgpt_tokens import Encoding, Panel, Vocabulary, build_panel, tokenise

TINY = Path(__file__).parents[1] / "fixtures" / "scgpt_tiny"
N_GENES, N_CELLS = 60, 40
SYMBOLS = [f"G{k}" for k in range(N_GENES)]
IDS = {name: k for k, name in enumerate([*SYMBOLS[::-1], "<cls>", "<pad>"])}
VOCABULARY = Vocabulary(ids=IDS, pad=IDS["<pad>"], cls=IDS["<cls>"])
SHAPE = Shape(n_tokens=N_GENES + 2, pad=VOCABULARY.pad, dims=16, hidden=16, heads=2, layers=2)
ENCODING = Encoding(max_tokens=25, seed=1)
NAMES = [f"cell-{k}" for k in range(N_CELLS)]
KIND = np.arange(N_CELLS) % 2


def counts(seed: int = 0) -> sparse.csr_matrix:
    """Two kinds of cells that express the two halves of the genes; the last cell is empty."""
    rng = np.random.default_rng(seed)
    rate = np.where((np.arange(N_GENES) < N_GENES // 2) == KIND[:, None], 1.5, 0.05)
    drawn = rng.poisson(rate * rng.uniform(0.1, 2.0, (N_CELLS, 1)))
    drawn[-1] = 0
    return sparse.csr_matrix(drawn.astype(np.float32))


@pytest.fixture(scope="module")
def network() -> ScGpt:
    return random_network(SHAPE, 0)


@pytest.fixture(scope="module")
def panel() -> Panel:
    return build_panel(counts(), SYMBOLS, NAMES, VOCABULARY)


def test_every_row_is_that_of_its_cell_alone(network: ScGpt, panel: Panel) -> None:
    places = embed_cells(network, panel, ENCODING, Pace(max_tokens=100))
    assert network.training, "left as it was"
    network.eval()
    lengths = panel.lengths(ENCODING)
    assert len(set(lengths.tolist())) > 5, "sorted by length, rows would be elsewhere"
    for row in range(N_CELLS):
        tokens = tokenise(panel, np.array([row]), ENCODING)
        batch = Batch(genes=torch.from_numpy(tokens.genes), values=torch.from_numpy(tokens.values))
        with torch.inference_mode():
            alone = network(batch)[0, 0].double().numpy()
        np.testing.assert_allclose(places[row], alone / np.linalg.norm(alone), rtol=0, atol=1e-5)
    network.train()


def test_cells_and_genes_and_batches_in_another_order_change_nothing(
    network: ScGpt, panel: Panel
) -> None:
    rng = np.random.default_rng(1)
    cells, genes = rng.permutation(N_CELLS), rng.permutation(N_GENES)
    moved = build_panel(
        counts()[cells][:, genes],
        [SYMBOLS[g] for g in genes],
        [NAMES[c] for c in cells],
        VOCABULARY,
    )
    truth = embed_cells(network, panel, ENCODING)
    for max_tokens in (1, 60, 10_000):
        found = embed_cells(network, moved, ENCODING, Pace(max_tokens=max_tokens))
        np.testing.assert_allclose(found, truth[cells], rtol=0, atol=1e-5)
    other = embed_cells(network, panel, replace(ENCODING, seed=2))
    assert np.abs(other[:-1] - truth[:-1]).max() > 1e-3, "the seed decides on ties"


def test_lengths_are_one_and_planted_kinds_come_apart(network: ScGpt, panel: Panel) -> None:
    places = embed_cells(network, panel, ENCODING).astype(np.float64)
    np.testing.assert_allclose(np.linalg.norm(places, axis=1), 1.0, rtol=0, atol=1e-5)
    centre = np.stack([places[:20][KIND[:20] == k].mean(axis=0) for k in (0, 1)])
    axis = centre[1] - centre[0]
    told = (places[20:-1] - centre.mean(axis=0)) @ axis > 0
    assert (told == (KIND[20:-1] == 1)).mean() > 0.8


def test_an_empty_cell_has_the_place_of_its_own_token(network: ScGpt, panel: Panel) -> None:
    assert panel.coverage.empty_cells == (np.diff(panel.counts.indptr) == 0).sum() > 0
    place = embed_cells(network, panel, ENCODING)[-1]
    own = Batch(genes=torch.tensor([[VOCABULARY.cls]]), values=torch.tensor([[ENCODING.pad_value]]))
    with torch.inference_mode():
        alone = torch.nn.functional.normalize(network.eval()(own)[:, 0])[0].numpy()
    network.train()
    np.testing.assert_allclose(place, alone, rtol=0, atol=1e-6)


def test_progress_is_told_until_all_cells_are_done(network: ScGpt, panel: Panel) -> None:
    told: list[tuple[int, int]] = []
    pace = Pace(max_tokens=100, progress=lambda done, of: told.append((done, of)))
    embed_cells(network, panel, ENCODING, pace)
    assert told == sorted(told)
    assert len(told) > 2
    assert told[-1] == (N_CELLS, N_CELLS)


def test_genes_are_the_normalised_rows_of_the_embedding() -> None:
    checkpoint = read_checkpoint(TINY)
    symbols = ["GENE5", "unheard", "GENE399", "<cls>", "gene7"]
    places, is_known = embed_genes(checkpoint.network, checkpoint.vocabulary, symbols)
    assert is_known.tolist() == [True, False, True, False, False]
    assert not places[~is_known].any()
    weight = {k: v.double().numpy() for k, v in checkpoint.network.state_dict().items()}
    rows = weight["encoder.embedding.weight"][[5, 399]]
    rows = rows - rows.mean(axis=1, keepdims=True)
    rows /= np.sqrt(rows.var(axis=1, keepdims=True) + 1e-5)
    truth = rows * weight["encoder.enc_norm.weight"] + weight["encoder.enc_norm.bias"]
    np.testing.assert_allclose(places[is_known], truth, rtol=0, atol=1e-5)


def test_genes_in_context_are_means_over_the_cells_that_show_them(
    network: ScGpt, panel: Panel
) -> None:
    network.eval()
    sums: dict[int, list[np.ndarray]] = {}
    for row in range(N_CELLS):
        tokens = tokenise(panel, np.array([row]), ENCODING)
        with torch.inference_mode():
            states = network(to_batch(tokens, torch.device("cpu")))[0].double().numpy()
        for gene, state in zip(tokens.genes[0, 1:], states[1:], strict=True):
            sums.setdefault(int(gene), []).append(state)
    network.train()
    found = embed_genes_in_context(network, panel, ENCODING, Pace(max_tokens=150))
    assert found.n_cells.tolist() == [len(sums.get(int(g), [])) for g in panel.genes]
    for gene, place in zip(panel.genes, found.places, strict=True):
        truth = np.mean(sums.get(int(gene), [np.zeros(SHAPE.dims)]), axis=0)
        np.testing.assert_allclose(place, truth, rtol=0, atol=1e-5)


def test_a_gene_that_no_cell_shows_is_a_row_of_zeros(network: ScGpt) -> None:
    drawn = counts().tolil()
    drawn[:, 4] = 0
    hidden = build_panel(sparse.csr_matrix(drawn), SYMBOLS, NAMES, VOCABULARY)
    found = embed_genes_in_context(network, hidden, ENCODING)
    column = hidden.genes.tolist().index(IDS["G4"])
    assert found.n_cells[column] == 0
    assert not found.places[column].any()
    assert found.places[found.n_cells > 0].any(axis=1).all()
