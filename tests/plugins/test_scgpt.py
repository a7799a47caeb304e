"""The network of scGPT equals the original's, torch's own encoder and plain arithmetic."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from leaderboard.models._scgpt import Batch, ScGpt, Shape, random_network
from leaderboard.models._scgpt_checkpoint import read_checkpoint, read_network

TINY = Path(__file__).parents[1] / "fixtures" / "scgpt_tiny"
SHAPE = Shape(n_tokens=30, pad=0, dims=24, hidden=40, heads=3, layers=3)


@pytest.fixture(scope="module")
def expected() -> dict[str, Tensor]:
    with np.load(TINY / "expected.npz") as arrays:
        return {name: torch.from_numpy(arrays[name]) for name in arrays.files}


def close(found: Tensor, truth: Tensor) -> None:
    torch.testing.assert_close(found, truth, rtol=0, atol=1e-5)


def random_batch(seed: int = 0) -> Batch:
    rng = np.random.default_rng(seed)
    kept = np.arange(9) < np.array([9, 6, 2, 1])[:, None]
    return Batch(
        genes=torch.from_numpy(np.where(kept, rng.integers(1, 30, (4, 9)), 0)),
        values=torch.from_numpy(rng.integers(0, 50, (4, 9)).astype(np.float32)),
        kept=torch.from_numpy(kept),
    )


@torch.inference_mode()
def test_states_and_both_decoders_equal_the_original(expected: dict[str, Tensor]) -> None:
    checkpoint = read_checkpoint(TINY)
    genes, network = expected["genes"], checkpoint.network
    kept = genes != checkpoint.vocabulary.pad
    batch = Batch(genes=genes, values=expected["values"], kept=kept)
    states = network(batch)
    close(states * kept[..., None], expected["hidden"])
    close(states[:, 0], expected["cls"])
    close(network.cells(batch), expected["cls"])
    close(network.expression(batch, states)[kept], expected["mlm"][kept])
    close(network.expression_from_cell(batch, states), expected["mvc"])


@torch.inference_mode()
def test_the_perturbation_variant_equals_the_original(expected: dict[str, Tensor]) -> None:
    shape = replace(read_checkpoint(TINY).network.shape, is_perturbation=True)
    network = read_network(TINY / "perturb_finetuned.pt", shape)
    batch = Batch(
        genes=expected["pert_genes"],
        values=expected["pert_values"],
        flags=expected["pert_flags"],
    )
    close(network.expression(batch, network(batch)), expected["pert_output"])


@torch.inference_mode()
def test_blocks_equal_those_of_torch() -> None:
    network = random_network(SHAPE, 1).eval()
    layer = torch.nn.TransformerEncoderLayer(
        SHAPE.dims, SHAPE.heads, SHAPE.hidden, SHAPE.dropout, batch_first=True
    )
    theirs = torch.nn.TransformerEncoder(layer, SHAPE.layers, enable_nested_tensor=False)
    state = network.transformer_encoder.state_dict()
    theirs.load_state_dict({k.replace("Wqkv.", "in_proj_"): v for k, v in state.items()})
    batch = random_batch()
    assert batch.kept is not None
    codes = network.encoder(batch.genes) + network.value_encoder(batch.values)
    found = theirs.eval()(codes, src_key_padding_mask=~batch.kept)
    close(network(batch)[batch.kept], found[batch.kept])
    close(network.cells(batch), found[:, 0])


@torch.inference_mode()
def test_codes_and_the_cell_decoder_equal_plain_arithmetic() -> None:
    network = random_network(SHAPE, 2).eval()
    batch = random_batch()
    weight = {k: v.double().numpy() for k, v in network.state_dict().items()}

    def linear(x: np.ndarray, name: str) -> np.ndarray:
        product: np.ndarray = x @ weight[f"{name}.weight"].T
        product += weight.get(f"{name}.bias", 0.0)
        return product

    def normalised(x: np.ndarray) -> np.ndarray:
        scale = np.sqrt(x.var(axis=-1, keepdims=True) + 1e-5)
        result: np.ndarray = (x - x.mean(axis=-1, keepdims=True)) / scale
        return result

    values = np.array([[-2.0, 3.0, 512.0, 900.0]])
    raised = np.maximum(linear(np.minimum(values, 512)[..., None], "value_encoder.linear1"), 0)
    codes = normalised(linear(raised, "value_encoder.linear2"))
    close(network.value_encoder(torch.from_numpy(values).float()).double(), torch.from_numpy(codes))

    states = network(batch)
    genes = normalised(weight["encoder.embedding.weight"][batch.genes.numpy()])
    query = 1 / (1 + np.exp(-linear(genes, "mvc_decoder.gene2query")))
    told = np.einsum("ctd,cd->ct", linear(query, "mvc_decoder.W"), states[:, 0].double().numpy())
    close(network.expression_from_cell(batch, states).double(), torch.from_numpy(told))


@torch.inference_mode()
def test_padding_changes_nothing() -> None:
    network = random_network(SHAPE, 3).eval()
    batch = random_batch()
    states = network(batch)
    for row, length in enumerate((9, 6, 2, 1)):
        alone = Batch(
            genes=batch.genes[row, None, :length], values=batch.values[row, None, :length]
        )
        close(network(alone)[0], states[row, :length])
    assert batch.kept is not None
    other = replace(batch, values=torch.where(batch.kept, batch.values, 77.0))
    close(network(other)[batch.kept], states[batch.kept])


def test_a_seed_names_a_network_and_leaves_torchs_stream_alone() -> None:
    torch.manual_seed(5)
    before = torch.get_rng_state()
    one, two, other = (random_network(SHAPE, seed).state_dict() for seed in (1, 1, 2))
    assert torch.equal(torch.get_rng_state(), before)
    name = "transformer_encoder.layers.0.self_attn.Wqkv.weight"
    assert torch.equal(one[name], two[name])
    assert not torch.equal(one[name], other[name])


def test_a_network_learns_one_batch_by_heart_from_scratch() -> None:
    network = random_network(replace(SHAPE, dropout=0.0), 4)
    batch = random_batch()
    assert batch.kept is not None
    truth = batch.values / 50
    hidden = replace(batch, values=torch.full_like(truth, -1.0))
    optimiser = torch.optim.Adam(network.parameters(), lr=3e-3)
    pad = network.encoder.embedding.weight[SHAPE.pad].detach().clone()
    losses = []
    for _ in range(60):
        states = network(hidden)
        told = (network.expression(hidden, states), network.expression_from_cell(hidden, states))
        loss = sum((t - truth)[batch.kept].square().mean() for t in told)
        assert isinstance(loss, Tensor)
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < 0.3 * losses[0]
    assert all(p.grad is not None for p in network.parameters())
    assert torch.equal(network.encoder.embedding.weight[SHAPE.pad], pad)


def test_padding_is_never_trained_even_where_it_is_seen() -> None:
    network = random_network(SHAPE, 6)
    network(replace(random_batch(), kept=None)).square().sum().backward()
    gradient = network.encoder.embedding.weight.grad
    assert gradient is not None
    assert not gradient[SHAPE.pad].any()
    assert gradient.any()


def test_dropout_acts_in_training_alone() -> None:
    network: ScGpt = random_network(replace(SHAPE, dropout=0.5), 5)
    batch = random_batch()
    with torch.inference_mode():
        assert not torch.allclose(network.train()(batch), network(batch), atol=1e-3)
        assert torch.equal(network.eval()(batch), network(batch))
