"""Geneformer equals upstream on its own layout, cells keep their order, and planted truth is seen.

The expected values are of upstream's code on random weights.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from torch import nn

from leaderboard.errors import PredictionError
from leaderboard.models._geneformer import Geneformer, Layer, SelfAttention, Shape
from leaderboard.models._geneformer_checkpoint import Checkpoint, read_checkpoint
from leaderboard.models._geneformer_embed import (
    Asking,
    CellEmbedding,
    Perturbation,
    embed_cells,
    embed_genes,
    embed_perturbed,
    perturbed,
)
from leaderboard.models._geneformer_tokens import Tokens, joined, tokenise

FIXTURES = Path(__file__).parents[1] / "fixtures"
VERSIONS = ("V1", "V2")
SMALL = Shape(
    vocab_size=30, hidden_size=16, num_hidden_layers=2, num_attention_heads=2,
    intermediate_size=24, max_position_embeddings=40,
)  # fmt: skip


@pytest.fixture(scope="module", params=VERSIONS)
def version(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def checkpoint(version: str) -> Checkpoint:
    return read_checkpoint(FIXTURES / f"geneformer_{version}_tiny")


@pytest.fixture(scope="module")
def expected(version: str) -> dict[str, np.ndarray]:
    with np.load(FIXTURES / f"geneformer_{version}_tiny" / "expected.npz") as file:
        return dict(file)


@pytest.fixture(scope="module")
def tokens(checkpoint: Checkpoint, expected: dict[str, np.ndarray]) -> Tokens:
    found, _ = tokenise(
        sp.csr_matrix(expected["counts"]),
        expected["ensembl"].tolist(),
        checkpoint.dictionaries,
        checkpoint.network.shape.max_position_embeddings,
    )
    return found


def small(seed: int = 0) -> Geneformer:
    torch.manual_seed(seed)
    return Geneformer(SMALL).eval()


def drawn(lengths: list[int], *, is_framed: bool = False, seed: int = 0) -> Tokens:
    """Return cells of different genes from 4 to 29."""
    rng = np.random.default_rng(seed)
    cells = [rng.choice(np.arange(4, 30), n, replace=False) for n in lengths]
    if is_framed:
        cells = [np.concatenate([[2], cell, [3]]) for cell in cells]
    return joined(cells, is_framed=is_framed)


# What upstream computed


def test_tokens_are_those_of_upstream(tokens: Tokens, expected: dict[str, np.ndarray]) -> None:
    assert len(tokens) == len(expected["counts"])
    for number in range(len(tokens)):
        assert tokens.cell(number).tolist() == expected[f"tokens_{number}"].tolist()


@pytest.mark.parametrize("layer", [-1, 0])
@pytest.mark.parametrize("pooling", ["mean", "cls"])
def test_cell_embeddings_are_those_of_upstream(
    checkpoint: Checkpoint,
    tokens: Tokens,
    expected: dict[str, np.ndarray],
    pooling: Any,
    layer: int,
) -> None:
    asking = Asking(layer=layer, pooling=pooling, batch_tokens=300)
    if pooling == "cls" and not tokens.is_framed:
        with pytest.raises(PredictionError, match="tokens that have none"):
            embed_cells(checkpoint.network, tokens, asking)
        return
    found = embed_cells(checkpoint.network, tokens, asking)
    name = "cell" if pooling == "mean" else "cls"
    np.testing.assert_allclose(found.places, expected[f"emb_{name}_layer{layer}"], atol=1e-5)
    assert not found.is_empty.any()


@torch.no_grad()
def test_logits_and_attention_are_those_of_upstream(
    checkpoint: Checkpoint, tokens: Tokens, expected: dict[str, np.ndarray]
) -> None:
    network, cell = checkpoint.network, torch.as_tensor(tokens.cell(5), dtype=torch.int64)
    logits = network.logits(network(cell[None]))[0]
    np.testing.assert_allclose(logits.numpy(), expected["logits_cell5"], atol=1e-5)
    attention = network.attention(cell, len(network.layers) - 1)
    np.testing.assert_allclose(attention.numpy(), expected["attn_last_cell5"], atol=1e-5)
    np.testing.assert_allclose(attention.sum(dim=-1).numpy(), 1, atol=1e-5)


def test_a_deletion_is_that_of_upstream(
    checkpoint: Checkpoint, tokens: Tokens, expected: dict[str, np.ndarray]
) -> None:
    gene = int(expected["isp_deleted_token"][0])
    before = embed_cells(checkpoint.network, tokens, Asking())
    found = embed_perturbed(
        checkpoint.network, tokens, Perturbation(genes=(gene,)), before, Asking()
    )
    np.testing.assert_allclose(found.places[5], expected["isp_emb_cell"][0], atol=1e-5)
    assert np.abs(found.places[5] - before.places[5]).max() > 1e-3
    holders = [gene in expected[f"tokens_{k}"] for k in range(len(tokens))]
    assert found.present_fraction == (float(np.mean(holders)),)
    unchanged = ~np.array(holders)
    np.testing.assert_array_equal(found.places[unchanged], before.places[unchanged])


# The network beside torch's own


def torch_layer(layer: Layer) -> nn.TransformerEncoderLayer:
    """Return torch's layer with the weights of ours; its feed-forward and order are the same."""
    width, inner = SMALL.hidden_size, SMALL.intermediate_size
    other = nn.TransformerEncoderLayer(
        width, SMALL.num_attention_heads, inner, dropout=0.0, batch_first=True,
        layer_norm_eps=SMALL.layer_norm_eps,
    )  # fmt: skip
    own = layer.state_dict()
    state = {
        f"self_attn.in_proj_{kind}": torch.cat(
            [own[f"attention.self.{part}.{kind}"] for part in ("query", "key", "value")]
        )
        for kind in ("weight", "bias")
    }
    renamed = {
        "attention.output.dense": "self_attn.out_proj", "attention.output.LayerNorm": "norm1",
        "intermediate.dense": "linear1", "output.dense": "linear2", "output.LayerNorm": "norm2",
    }  # fmt: skip
    for ours, theirs in renamed.items():
        state |= {f"{theirs}.{kind}": own[f"{ours}.{kind}"] for kind in ("weight", "bias")}
    other.load_state_dict(state)
    return other


def test_a_layer_and_its_gradients_are_those_of_torch() -> None:
    """Two cells, one of them padded; with biases that matter."""
    network = small()
    for name, value in network.named_parameters():
        if name.endswith("bias"):
            nn.init.normal_(value)
    is_real = torch.arange(9) < torch.tensor([[9], [5]])
    x = torch.randn(2, 9, SMALL.hidden_size)
    layer = network.layers[0].train()
    assert isinstance(layer, Layer)
    other = torch_layer(layer).train()
    layer.apply(_without_dropout)
    ours, theirs = (v.requires_grad_() for v in (x.clone(), x.clone()))
    one = layer(ours, is_real[:, None, None, :])
    two = other(theirs, src_key_padding_mask=~is_real)
    torch.testing.assert_close(one[is_real], two[is_real], rtol=1e-4, atol=1e-5)
    for found in (one, two):
        found[is_real].square().sum().backward()
    torch.testing.assert_close(ours.grad, theirs.grad, rtol=1e-4, atol=1e-5)


def _without_dropout(part: nn.Module) -> None:
    if isinstance(part, nn.Dropout):
        part.p = 0.0
    if isinstance(part, SelfAttention):
        part.dropout = 0.0


@torch.no_grad()
def test_dropout_acts_in_training_only() -> None:
    network = small()
    tokens = torch.arange(4, 24)[None]
    torch.testing.assert_close(network(tokens), network(tokens), rtol=0, atol=0)
    network.train()
    assert (network(tokens) - network(tokens)).abs().max() > 1e-3


@torch.no_grad()
def test_the_order_of_genes_matters_and_padding_does_not() -> None:
    network, cell = small(), torch.arange(4, 14)
    whole = network(cell[None])
    padded = torch.cat([cell, torch.zeros(6, dtype=torch.int64)])[None]
    found = network(padded, padded > 0)[:, :10]
    torch.testing.assert_close(found, whole, rtol=1e-4, atol=1e-6)
    assert (network(padded)[:, :10] - whole).abs().max() > 1e-5
    assert (network(cell.flip(0)[None]).flip(1) - whole).abs().max() > 1e-3


def test_a_small_network_learns_a_masked_gene_from_its_cell() -> None:
    """Two kinds of cells, whose first gene is hidden; the rest say which it is."""
    torch.manual_seed(0)
    network = Geneformer(SMALL).train()
    cells = torch.tensor([[1, 10, 11, 12, 13], [1, 20, 21, 22, 23]])
    truth = torch.tensor([5, 6])
    optimiser = torch.optim.AdamW(network.parameters(), lr=3e-3)
    for _ in range(120):
        loss = nn.functional.cross_entropy(network.logits(network(cells)[:, 0]), truth)
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
    with torch.no_grad():
        logits = network.eval().logits(network(cells)[:, 0])
    assert logits.argmax(dim=1).tolist() == truth.tolist()
    assert all(p.grad is not None for p in network.parameters())


# Cells keep their order


@pytest.mark.parametrize("is_framed", [False, True])
def test_rows_are_in_the_order_of_the_cells_whatever_the_batches(*, is_framed: bool) -> None:
    """Each cell alone is the oracle; upstream's rows would be sorted by length."""
    network, lengths = small(), [3, 20, 1, 11, 20, 7, 2, 15]
    tokens = drawn(lengths, is_framed=is_framed)
    frame = int(is_framed)
    alone = []
    for number in range(len(tokens)):
        cell = torch.as_tensor(tokens.cell(number), dtype=torch.int64)[None]
        with torch.no_grad():
            hidden = network(cell, n_layers=1)[0, frame : cell.shape[1] - frame]
        alone.append(hidden.mean(dim=0).numpy())
    oracle = np.stack(alone)
    for batch_tokens in (1, 45, 10_000):
        found = embed_cells(network, tokens, Asking(batch_tokens=batch_tokens)).places
        np.testing.assert_allclose(found, oracle, atol=1e-5)
    by_length = np.argsort(-tokens.lengths, kind="stable")
    assert np.abs(oracle - oracle[by_length]).max() > 1e-2


def test_permuted_cells_give_permuted_rows() -> None:
    network, tokens = small(), drawn([3, 20, 1, 11, 20, 7])
    order = np.array([4, 0, 5, 2, 1, 3])
    one = embed_cells(network, tokens, Asking(batch_tokens=40)).places
    two = embed_cells(network, tokens.cells(order), Asking(batch_tokens=40)).places
    np.testing.assert_allclose(two, one[order], atol=1e-5)


def test_a_cell_without_genes_is_placed_at_zero_and_counted() -> None:
    network = small()
    for is_framed in (False, True):
        tokens = drawn([0, 5, 0], is_framed=is_framed)
        found = embed_cells(network, tokens, Asking())
        assert found.is_empty.tolist() == [True, False, True]
        assert not found.places[found.is_empty].any()
        assert np.abs(found.places[1]).max() > 1e-3
        with pytest.raises(PredictionError, match="none of 2 cells has a gene"):
            embed_cells(network, drawn([0, 0], is_framed=is_framed), Asking())


def test_what_cannot_be_asked_is_refused() -> None:
    network = small()
    for layer in (1, -3):
        with pytest.raises(PredictionError, match="a layer from -2 to 0"):
            embed_cells(network, drawn([4]), Asking(layer=layer))
    long = joined([np.arange(41) % 20 + 4], is_framed=False)
    with pytest.raises(PredictionError, match="expected 40 tokens a cell at most, got 41"):
        embed_cells(network, long, Asking())
    for genes in ((), (1,), (30,)):
        with pytest.raises(PredictionError, match="expected tokens of genes, 2 to 29"):
            embed_perturbed(
                network, drawn([4]), Perturbation(genes=genes),
                CellEmbedding(places=np.zeros((1, 16), np.float32), is_empty=np.array([False])),
                Asking(),
            )  # fmt: skip


def test_progress_is_told_and_training_goes_on_as_it_was() -> None:
    network, told = small().train(), list[tuple[int, int]]()
    asking = Asking(batch_tokens=20, progress=lambda done, n: told.append((done, n)))
    embed_cells(network, drawn([10, 0, 9, 2]), asking)
    assert told == [(2, 3), (3, 3)]
    assert network.training


# Genes


def test_a_gene_is_placed_at_the_mean_of_its_states() -> None:
    network, tokens = small(), drawn([6, 12, 3, 20], is_framed=True)
    states: dict[int, list[np.ndarray]] = {}
    for number in range(len(tokens)):
        cell = torch.as_tensor(tokens.cell(number), dtype=torch.int64)
        with torch.no_grad():
            hidden = network(cell[None])[0].numpy()
        for gene, state in list(zip(cell.tolist(), hidden, strict=True))[1:-1]:
            states.setdefault(gene, []).append(state)
    found = embed_genes(network, tokens, Asking(layer=0, batch_tokens=30))
    for gene in range(SMALL.vocab_size):
        own = states.get(gene, [])
        assert found.n_cells[gene] == len(own)
        mean = np.mean(own, axis=0) if own else np.zeros(SMALL.hidden_size)
        np.testing.assert_allclose(found.places[gene], mean, atol=1e-5)
    assert not states.keys() & {0, 1, 2, 3}


def test_the_input_embedding_of_a_gene_is_its_row(checkpoint: Checkpoint) -> None:
    table = checkpoint.network.gene_table.detach().numpy()
    at_start = checkpoint.network.embeddings(torch.tensor([[7]])).detach().numpy()[0, 0]
    part = {name: value.numpy() for name, value in checkpoint.network.state_dict().items()}
    start = "bert.embeddings."
    total = (
        table[7]
        + part[f"{start}position_embeddings.weight"][0]
        + part[f"{start}token_type_embeddings.weight"][0]
    )
    normal = (total - total.mean()) / np.sqrt(total.var() + 1e-12)
    normal = normal * part[f"{start}LayerNorm.weight"] + part[f"{start}LayerNorm.bias"]
    np.testing.assert_allclose(at_start, normal, atol=1e-5)


@pytest.mark.parametrize("is_framed", [False, True])
def test_genes_are_deleted_or_put_first(*, is_framed: bool) -> None:
    def done(kind: Any, cells: list[list[int]], room: int) -> list[list[int]]:
        frame = [[2], [3]] if is_framed else [[], []]
        held = joined([np.array(frame[0] + c + frame[1]) for c in cells], is_framed=is_framed)
        after = perturbed(held, Perturbation(genes=(9, 7), kind=kind), room + 2 * is_framed)
        framed = [after.cell(k).tolist() for k in range(len(after))]
        assert all(cell[:1] == frame[0] and cell[-1:] == frame[1] for cell in framed if is_framed)
        return [cell[1:-1] for cell in framed] if is_framed else framed

    cells = [[5, 7, 6, 9], [5, 6], [7], []]
    assert done("delete", cells, 4) == [[5, 6], [5, 6], [], []]
    assert done("overexpress", cells, 3) == [[9, 7, 5], [9, 7, 5], [9, 7], [9, 7]]


def test_a_perturbed_cell_is_embedded_as_the_cell_that_it_becomes() -> None:
    network = small()
    tokens = joined([np.array(c) for c in ([5, 7, 6], [7], [6, 5], [])], is_framed=False)
    before = embed_cells(network, tokens, Asking())
    deleted = embed_perturbed(network, tokens, Perturbation(genes=(7, 8)), before, Asking())
    assert deleted.present_fraction == (0.5, 0.0)
    oracle = embed_cells(network, joined([np.array([5, 6])], is_framed=False), Asking()).places
    np.testing.assert_allclose(deleted.places[0], oracle[0], atol=1e-5)
    assert not deleted.places[1].any()
    np.testing.assert_array_equal(deleted.places[2:], before.places[2:])
    only = embed_perturbed(
        network, tokens.cells(np.array([1])), Perturbation(genes=(7,)),
        CellEmbedding(places=before.places[[1]], is_empty=before.is_empty[[1]]), Asking(),
    )  # fmt: skip
    assert not only.places.any()
    raised = Perturbation(genes=(6,), kind="overexpress")
    more = embed_perturbed(network, tokens, raised, before, Asking())
    becomes = [[6, 5, 7], [6, 7], [6, 5], [6]]
    oracle = embed_cells(
        network, joined([np.array(c) for c in becomes], is_framed=False), Asking()
    ).places
    np.testing.assert_allclose(more.places, oracle, atol=1e-5)
    assert more.present_fraction == (0.5,)


@torch.no_grad()
def test_layers_in_bfloat16_say_nearly_the_same() -> None:
    """As on CUDA, by the same means on the CPU: each state is within 5 % of its length."""
    network, tokens = small(), torch.arange(4, 24).view(2, 10)
    is_real = torch.arange(10) < torch.tensor([[10], [6]])
    whole = network(tokens, is_real)
    with torch.autocast("cpu", torch.bfloat16):
        found = network(tokens, is_real)
    assert found.dtype == torch.float32
    error = (found - whole).norm(dim=-1) / whole.norm(dim=-1)
    assert 0 < error[is_real].max() < 0.05


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
@pytest.mark.parametrize("is_framed", [False, True])
def test_a_gpu_places_cells_where_the_cpu_does(*, is_framed: bool) -> None:
    network, tokens = small(), drawn([3, 20, 0, 11, 20, 7], is_framed=is_framed)
    expected = embed_cells(network, tokens, Asking()).places
    genes = embed_genes(network, tokens, Asking()).places
    network.cuda()
    exact = embed_cells(network, tokens, Asking(mixed_precision=False)).places
    np.testing.assert_allclose(exact, expected, atol=1e-4)
    near = embed_cells(network, tokens, Asking()).places
    length = np.linalg.norm(expected, axis=1)
    assert (np.linalg.norm(near - expected, axis=1) <= 0.05 * length).all()
    asked = Asking(mixed_precision=False)
    np.testing.assert_allclose(embed_genes(network, tokens, asked).places, genes, atol=1e-4)


def test_the_fixture_holds_what_the_tests_say(checkpoint: Checkpoint, version: str) -> None:
    config = json.loads((FIXTURES / f"geneformer_{version}_tiny" / "config.json").read_text())
    assert checkpoint.dictionaries.version == version
    assert config["vocab_size"] == len(checkpoint.dictionaries.token)
