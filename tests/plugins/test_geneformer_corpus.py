"""A small Geneformer can be pretrained here: medians, masks and loss are what their words say."""

import numpy as np
import pytest
import scipy.sparse as sp
import torch

from leaderboard.errors import PredictionError
from leaderboard.models._geneformer import Geneformer, Shape
from leaderboard.models._geneformer_corpus import (
    UNMASKED,
    Masking,
    corpus_dictionaries,
    masked,
    masked_loss,
)
from leaderboard.models._geneformer_dictionaries import Dictionaries
from leaderboard.models._geneformer_tokens import tokenise


def words(n_genes: int, *, is_framed: bool = False) -> Dictionaries:
    names = [f"SIM{k}" for k in range(n_genes)]
    ones = sp.csr_matrix(np.ones((1, n_genes)))
    return corpus_dictionaries(ones, names, np.ones(1), is_framed=is_framed)


@pytest.mark.parametrize("is_framed", [False, True])
def test_medians_are_of_cells_with_a_count_scaled_by_all_genes(*, is_framed: bool) -> None:
    rng = np.random.default_rng(0)
    held = rng.poisson(0.6, (50, 8))
    held[:, 3] = 0
    held[7] = 0
    totals = held.sum(axis=1) + rng.integers(0, 100, 50)
    names = [f"SIM{k}" for k in range(8)]
    explicit = sp.csr_matrix(np.ones(held.shape))
    explicit.data = held.ravel().astype(float)
    found = corpus_dictionaries(explicit, names, totals, is_framed=is_framed)
    assert found.median.keys() == set(names) - {"SIM3"}
    for k in (0, 1, 2, 4, 5, 6, 7):
        own = held[:, k] > 0
        expected = np.median(held[own, k] / totals[own] * 10_000)
        assert found.median[f"SIM{k}"] == pytest.approx(expected)
    special = ["<pad>", "<mask>", *(["<cls>", "<eos>"] if is_framed else [])]
    assert list(found.token) == special + [n for n in names if n != "SIM3"]
    assert list(found.token.values()) == list(range(len(found.token)))
    tokens, coverage = tokenise(sp.csr_matrix(held), names, found, 6)
    assert (coverage.genes_fraction, coverage.counts_fraction) == (7 / 8, 1)
    assert tokens.is_framed == is_framed
    assert coverage.n_empty == (held.sum(axis=1) == 0).sum()


def test_a_corpus_without_genes_or_with_one_twice_is_refused() -> None:
    with pytest.raises(PredictionError, match="each gene once"):
        corpus_dictionaries(sp.csr_matrix((1, 2)), ["a", "a"], np.ones(1))
    with pytest.raises(PredictionError, match="no gene of the corpus"):
        corpus_dictionaries(sp.csr_matrix((1, 2)), ["a", "b"], np.ones(1))


def test_genes_are_hidden_swapped_or_kept_at_the_stated_shares() -> None:
    """Each share is within five standard errors of 100,000 genes."""
    held = words(96, is_framed=True)
    tokens = torch.randint(0, 100, (100, 1_000), generator=torch.Generator().manual_seed(1))
    shown, truth = masked(tokens, held, Masking(), torch.Generator().manual_seed(0))
    is_gene, is_chosen = tokens >= 4, truth != UNMASKED
    assert torch.equal(shown[~is_chosen], tokens[~is_chosen])
    assert torch.equal(truth[is_chosen], tokens[is_chosen])
    assert not is_chosen[~is_gene].any()
    n = int(is_chosen.sum())

    def check(count: torch.Tensor, of: int, share: float) -> None:
        error = np.sqrt(share * (1 - share) / of)
        assert abs(int(count) / of - share) < 5 * error

    check(is_chosen.sum(), int(is_gene.sum()), 0.15)
    own = shown[is_chosen]
    check((own == 1).sum(), n, 0.8)
    swapped = own[(own != 1) & (own != truth[is_chosen])]
    check(torch.tensor(len(swapped)), n, 0.1 * 95 / 96)
    assert int(swapped.min()) >= 4
    assert len(set(swapped.tolist())) > 90
    again = masked(tokens, held, Masking(), torch.Generator().manual_seed(0))
    assert torch.equal(again[0], shown)


def small() -> Geneformer:
    torch.manual_seed(0)
    shape = Shape(
        vocab_size=22, hidden_size=16, num_hidden_layers=2, num_attention_heads=2,
        intermediate_size=32, max_position_embeddings=12, hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
    )  # fmt: skip
    return Geneformer(shape)


def test_the_loss_is_that_of_the_genes_to_guess() -> None:
    network = small()
    shown = torch.tensor([[1, 5, 6, 7], [8, 1, 9, 0]])
    truth = torch.tensor([[4, UNMASKED, UNMASKED, 7], [UNMASKED, 3, UNMASKED, UNMASKED]])
    with torch.no_grad():
        found = masked_loss(network, shown, shown > 0, truth)
        shares = network.logits(network(shown, shown > 0)).log_softmax(dim=-1)
        nothing = masked_loss(network, shown, shown > 0, torch.full_like(truth, UNMASKED))
    guessed = [shares[0, 0, 4], shares[0, 3, 7], shares[1, 1, 3]]
    assert float(found) == pytest.approx(-float(sum(guessed)) / 3, abs=1e-6)
    assert float(nothing) == 0


def test_pretraining_finds_the_programmes_of_a_corpus() -> None:
    """Cells express one of two sets of genes: a masked gene is of the set of the others."""
    network, held = small(), words(20)
    rng, generator = np.random.default_rng(0), torch.Generator().manual_seed(0)

    def drawn() -> torch.Tensor:
        sets = [2 + 10 * rng.integers(2) + rng.permutation(10)[:8] for _ in range(32)]
        return torch.as_tensor(np.stack(sets))

    optimiser = torch.optim.AdamW(network.parameters(), lr=3e-3)
    for _ in range(150):
        shown, truth = masked(drawn(), held, Masking(), generator)
        loss = masked_loss(network, shown, None, truth)
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
    cells = drawn()
    shown = cells.clone()
    shown[:, 3] = 1
    with torch.no_grad():
        shares = network.eval().logits(network(shown)[:, 3]).softmax(dim=-1)
    is_first = cells[:, 0] < 12
    of_first = shares[:, 2:12].sum(dim=1)
    assert of_first[is_first].min() > 0.65
    assert of_first[~is_first].max() < 0.35
