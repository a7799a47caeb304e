"""Genes are ranked as the formula says, whatever the names, the panel or the order of columns."""

import tracemalloc

import numpy as np
import pytest
import scipy.sparse as sp

from leaderboard.errors import PredictionError
from leaderboard.models import _geneformer_tokens
from leaderboard.models._geneformer_dictionaries import Dictionaries
from leaderboard.models._geneformer_tokens import Tokens, joined, tokenise

N_GENES, MAX_TOKENS = 60, 20


def gene(number: int) -> str:
    return f"ENSG{number:011d}"


def dictionaries(*, is_framed: bool = False, seed: int = 0) -> Dictionaries:
    special = ["<pad>", "<mask>", *(["<cls>", "<eos>"] if is_framed else [])]
    names = special + [gene(k) for k in range(N_GENES)]
    median = np.random.default_rng(seed).lognormal(0, 1, N_GENES)
    return Dictionaries(
        token={name: number for number, name in enumerate(names)},
        median={gene(k): float(median[k]) for k in range(N_GENES)},
        gene_id={f"SYM{k}": gene(k) for k in range(N_GENES)} | {"OLD.1": gene(3)},
        mapping={gene(900): gene(5)} | {gene(k): gene(k) for k in range(N_GENES)},
    )


def counts(n_cells: int = 40, n_genes: int = N_GENES, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    rate = rng.lognormal(-1, 1.5, n_genes) * rng.lognormal(0, 0.7, (n_cells, 1))
    return rng.poisson(rate).astype(np.float32)


def by_formula(
    cell: np.ndarray, names: list[str], words: Dictionaries, total: float, room: int
) -> list[int]:
    """Return one cell's tokens, gene by gene: the published formula in plain Python."""
    values = {
        words.token[name]: float(count) / total * 10_000 / words.median[name]
        for name, count in zip(names, cell, strict=True)
        if count and name in words.token
    }
    return sorted(values, key=lambda token: (-values[token], token))[:room]


def cells_of(tokens: Tokens) -> list[list[int]]:
    return [tokens.cell(number).tolist() for number in range(len(tokens))]


@pytest.mark.parametrize("is_framed", [False, True])
def test_genes_are_ranked_by_the_published_formula(
    *, is_framed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Over several chunks; the total of a cell is any number, for it moves no rank."""
    monkeypatch.setattr(_geneformer_tokens, "CHUNK", 7)
    words, held = dictionaries(is_framed=is_framed), counts(n_genes=N_GENES + 5)
    names = [gene(k) for k in range(N_GENES + 5)]
    found, _ = tokenise(sp.csr_matrix(held), names, words, MAX_TOKENS)
    totals = np.random.default_rng(1).uniform(500, 50_000, len(held))
    room = MAX_TOKENS - 2 * is_framed
    frame = ([2], [3]) if is_framed else ([], [])
    for cell, own, total in zip(cells_of(found), held, totals, strict=True):
        assert cell == frame[0] + by_formula(own, names, words, total, room) + frame[1]
    assert found.lengths.max() == MAX_TOKENS
    assert found.n_genes.min() < room


def test_equal_values_are_ordered_by_token_whatever_the_order_of_columns() -> None:
    words = dictionaries()
    level = Dictionaries(token=words.token, median=dict.fromkeys(words.median, 2.0))
    names = [gene(k) for k in range(N_GENES)]
    held = np.ones((1, N_GENES), dtype=np.float32)
    held[0, 17] = 3
    order = np.random.default_rng(0).permutation(N_GENES)
    expected = [19, *(k + 2 for k in range(N_GENES) if k != 17)][:MAX_TOKENS]
    for columns in (np.arange(N_GENES), order):
        shown = [names[k] for k in columns]
        found, _ = tokenise(sp.csr_matrix(held[:, columns]), shown, level, MAX_TOKENS)
        assert cells_of(found) == [expected]


def test_names_are_symbols_or_ids_of_any_version() -> None:
    words = dictionaries()
    for name, expected in {
        gene(4): gene(4), f"{gene(4)}.12": gene(4), gene(4).lower(): gene(4),
        "SYM4": gene(4), "OLD.1": gene(3), "RP11-1.2": "RP11-1.2",
        gene(900): gene(5), f"{gene(900)}.1": gene(5), "sym4": "sym4",
    }.items():  # fmt: skip
        assert words.ensembl_id(name) == expected


def test_columns_of_one_gene_are_summed() -> None:
    words, held = dictionaries(), counts()
    names = [gene(k) for k in range(N_GENES)]
    split = np.random.default_rng(2).binomial(held.astype(int), 0.5)
    halves = np.hstack([split, held - split])
    renamed = [f"SYM{k}" for k in range(N_GENES - 1)] + [gene(N_GENES - 1)]
    renamed[5] = gene(900)
    whole, one = tokenise(sp.csr_matrix(held), names, words, MAX_TOKENS)
    summed, two = tokenise(sp.csr_matrix(halves), names + renamed, words, MAX_TOKENS)
    assert cells_of(summed) == cells_of(whole)
    assert one == two


def test_coverage_is_of_columns_and_of_counts() -> None:
    words = dictionaries()
    held = np.array([[3, 0, 1, 6], [0, 0, 0, 5], [0, 0, 0, 0]], dtype=np.float32)
    names = [gene(0), gene(1), "SYM2", "unknown"]
    tokens, coverage = tokenise(sp.csr_matrix(held), names, words, 1)
    assert coverage.genes_fraction == 3 / 4
    assert coverage.counts_fraction == pytest.approx(4 / 15)
    assert coverage.truncated_fraction == pytest.approx(1 / 3)
    assert coverage.n_empty == 2
    assert tokens.lengths.tolist() == [1, 0, 0]
    nothing, coverage = tokenise(sp.csr_matrix(held[:0]), names, words, 1)
    assert (len(nothing), coverage.counts_fraction, coverage.truncated_fraction) == (0, 0, 0)


def test_explicit_zeros_are_no_genes() -> None:
    held = sp.csr_matrix(np.array([[2.0, 1.0, 3.0]]))
    held.data[1] = 0
    tokens, _ = tokenise(held, [gene(k) for k in range(3)], dictionaries(), MAX_TOKENS)
    assert set(tokens.cell(0).tolist()) == {2, 4}
    assert held.nnz == 3, "the matrix that was given is as it was"


def test_what_cannot_be_ranked_is_refused() -> None:
    words, held = dictionaries(), counts(3)
    with pytest.raises(PredictionError, match="none of 60 genes has a token, such as x0, x1, x2"):
        tokenise(sp.csr_matrix(held), [f"x{k}" for k in range(N_GENES)], words, MAX_TOKENS)
    for value in (-1.0, np.nan, np.inf):
        broken = held.copy()
        broken[1, 4] = value
        names = [gene(k) for k in range(N_GENES)]
        with pytest.raises(PredictionError, match=f"got {value} in cell 1"):
            tokenise(sp.csr_matrix(broken), names, words, MAX_TOKENS)


def test_holders_are_found_between_empty_cells() -> None:
    cells = [[], [5, 6], [], [6], [7], []]
    tokens = joined([np.array(c, dtype=np.int32) for c in cells], is_framed=False)
    for token in (5, 6, 7, 8):
        assert tokens.holders(token).tolist() == [token in cell for cell in cells]
    assert cells_of(tokens.cells(np.array([4, 0, 1]))) == [[7], [], [5, 6]]


def test_an_atlas_is_never_dense() -> None:
    """20,000 columns of which a cell has a few: far less memory than cells x genes take."""
    n_cells, n_columns = 4_000, 20_000
    rng = np.random.default_rng(0)
    words = Dictionaries(
        token={"<pad>": 0, "<mask>": 1} | {gene(k): k + 2 for k in range(n_columns)},
        median={gene(k): 1.0 + k % 7 for k in range(n_columns)},
    )
    columns = rng.integers(0, n_columns, n_cells * 20)
    ones = rng.integers(1, 9, len(columns)).astype(np.float32)
    held = sp.csr_matrix((ones, columns, np.arange(n_cells + 1) * 20), (n_cells, n_columns))
    names = [gene(k) for k in range(n_columns)]
    tracemalloc.start()
    tokenise(held, names, words, 2048)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 4 * n_cells * n_columns / 10
