"""The audit of perturbations: what training shows of a test set, and how near it comes."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pytest

from leaderboard import layout
from leaderboard.audit import CHECKS, BoardFiles, Finding, FoldFiles, audit_similarity
from leaderboard.audit._novelty import novelty_of_board
from leaderboard.audit._similarity import (
    COLUMNS,
    Genes,
    check_similarity,
    novelty_bin,
    shown,
    similarities,
    standardised,
    terms_of,
)
from leaderboard.cases import build_cases, draw, split_name
from leaderboard.io import write_h5ad, write_parquet
from leaderboard.metrics import METRICS
from leaderboard.spec import Board, FoldRule
from leaderboard.tasks import TASKS
from tests.splits._obs import RULE, perturbation_board
from tests.splits.test_perturbations import few_doubles

if TYPE_CHECKING:
    from anndata import AnnData

SUITE = "known_truth"
PROCESSES = frozenset(f"process {k}" for k in range(5))
Terms = Mapping[str, frozenset[str]]


def write_screen(adata: "AnnData", board: Board, rule: FoldRule) -> BoardFiles:
    """Write the files that the audit of a perturbation board reads."""
    roles, _ = draw(adata.obs, board, rule)
    write_h5ad(layout.clean(SUITE, board.dataset), adata.copy())
    write_parquet(layout.splits(SUITE, board.dataset) / f"{split_name(board)}.parquet", roles)
    for fold, case in build_cases(adata, roles, board, "test"):
        folder = layout.truth(SUITE, board.dataset) / board.id / layout.fold_name(fold)
        assert case.groups is not None
        assert case.moments is not None
        write_parquet(folder / "groups.parquet", case.groups)
        write_parquet(folder / "moments.parquet", case.moments)
    return BoardFiles(board=board, roles=roles, obs=adata.obs, library="single")


@pytest.fixture
def files(in_folder: Path, screen: "AnnData", screen_board: Board, rule: FoldRule) -> BoardFiles:
    assert in_folder.is_dir()
    return write_screen(screen, screen_board, rule)


def audit(files: BoardFiles, adata: "AnnData", terms: Terms | None) -> list[Finding]:
    novelty = novelty_of_board(SUITE, adata, files, terms)
    return [f for f in check_similarity(files, novelty, terms) if f.severity != "ok"]


def terms_where(files: BoardFiles, **own: frozenset[str]) -> dict[str, frozenset[str]]:
    """Give every target five processes of its own, but for those named."""
    genes = sorted({g for p in files.obs["perturbation"].astype(str) for g in p.split("+")})
    alone = {g: frozenset(f"{g} {k}" for k in range(5)) for g in genes if g != "control"}
    return alone | own


def test_genes_with_processes_of_their_own_raise_nothing(
    files: BoardFiles, screen: "AnnData"
) -> None:
    assert audit(files, screen, terms_where(files)) == []
    assert audit(files, screen, None) == []


def two_of_different_folds(files: BoardFiles) -> tuple[str, str]:
    test = files.roles[files.roles["role"] == "test"]
    names = test.assign(name=files.obs.loc[test["cell_id"], "perturbation"].to_numpy())
    fold_of = names[~names["name"].str.contains("+", regex=False)].groupby("name")["fold"].first()
    return str(fold_of.index[fold_of == 0][0]), str(fold_of.index[fold_of == 1][0])


def test_a_paralogue_in_training_is_a_warning_that_names_both(
    files: BoardFiles, screen: "AnnData"
) -> None:
    one, other = sorted(two_of_different_folds(files))
    terms = terms_where(files, **{one: PROCESSES, other: PROCESSES})
    (warning,) = audit(files, screen, terms)
    assert (warning.check, warning.severity) == ("similarity", "warning")
    assert warning.ids == (f"{one} = {other}",)
    assert "in test and in training" in warning.message
    rows = novelty_of_board(SUITE, screen, files, terms).set_index("unit")
    assert (rows.loc[one, "go"], rows.loc[other, "go"]) == (other, one)
    assert list(rows.loc[[one, other], "go_jaccard"]) == [1.0, 1.0]


def test_genes_that_differ_in_one_process_or_share_a_few_are_no_paralogues(
    files: BoardFiles, screen: "AnnData"
) -> None:
    one, other = two_of_different_folds(files)
    for shared in (
        {one: PROCESSES, other: PROCESSES | {"one more"}},
        dict.fromkeys((one, other), frozenset(sorted(PROCESSES)[:4])),
    ):
        assert audit(files, screen, terms_where(files, **shared)) == []


def test_paralogues_that_are_tested_in_one_fold_help_nobody(
    files: BoardFiles, screen: "AnnData"
) -> None:
    one, _ = two_of_different_folds(files)
    novelty = novelty_of_board(SUITE, screen, files, None)
    names = novelty.loc[novelty["fold"] == 0, "unit"]
    twin = next(n for n in names if n != one)
    terms = terms_where(files, **{one: PROCESSES, twin: PROCESSES})
    assert audit(files, screen, terms) == []


def test_targets_that_nobody_measured_are_a_warning_from_half_of_them_on(
    files: BoardFiles, screen: "AnnData"
) -> None:
    kept = screen[:, [g for g in screen.var_names if g not in {f"G{i:03d}" for i in range(9)}]]
    assert audit(files, kept, None) == []
    kept = screen[:, [g for g in screen.var_names if g not in {f"G{i:03d}" for i in range(10)}]]
    (warning,) = audit(files, kept, None)
    assert warning.n == 10
    assert warning.message == "10 of 18 unseen perturbations have no measured target"


def test_the_distance_is_the_one_that_is_frozen(
    files: BoardFiles, screen: "AnnData", screen_board: Board
) -> None:
    frozen = TASKS[screen_board.task].freeze(
        screen, files.roles, screen_board, [METRICS["pearson_delta"]]
    )["novelty"]
    table = novelty_of_board(SUITE, screen, files, None)
    assert list(table.columns) == COLUMNS
    got = {(str(r.fold), r.unit): r.distance for r in table.itertuples()}
    assert got == pytest.approx({(k, u): d for k, own in frozen.items() for u, d in own.items()})
    assert list(table["bin"]) == [novelty_bin(d) for d in table["distance"]]


def test_a_perturbation_that_acts_like_a_trained_one_is_near_it(
    files: BoardFiles, screen: "AnnData", rule: FoldRule
) -> None:
    """The cells of a test perturbation get the counts of a trained one's."""
    rows = files.roles[files.roles["fold"] == 0]
    name = screen.obs["perturbation"].astype(str)
    tested, trained = (
        next(
            n for n in sorted(set(name[rows.loc[rows["role"] == role, "cell_id"]])) if "+" not in n
        )
        for role in ("test", "train")
    )
    counts = screen.X.toarray()
    for context in ("k1", "k2"):
        here = screen.obs["cell_type"] == context
        counts[here & (name == tested)] = counts[here & (name == trained)]
    adata = screen.copy()
    adata.X = type(screen.X)(counts)
    table = novelty_of_board(SUITE, adata, write_screen(adata, files.board, rule), None)
    (row,) = table[(table["unit"] == tested) & (table["fold"] == 0)].itertuples()
    assert row.response == trained
    assert row.distance == pytest.approx(0.0, abs=1e-6)
    assert row.bin == "novelty_near"


def test_every_test_unit_of_the_perturbation_boards_has_a_row(
    files: BoardFiles, screen_board: Board
) -> None:
    random = replace(screen_board, split="random", matches="perturbation")
    findings, table = audit_similarity(SUITE, screen_board.dataset, [screen_board, random])
    assert {f["board"] for f in findings} == {screen_board.id} == set(table["board"])
    test = files.roles[files.roles["role"] == "test"]
    units = set(files.obs.loc[test["cell_id"], "perturbation"])
    assert set(table["unit"]) == units
    nothing, empty = audit_similarity(SUITE, "d", [replace(screen_board, task="gene_network")])
    assert (nothing, list(empty.columns), len(empty)) == ([], COLUMNS, 0)


@pytest.mark.parametrize(
    ("perturbation", "trained", "expected"),
    [
        ("A", ["B", "C"], "no"),
        ("A", ["A+B", "C"], "combination"),
        ("A+B", ["B", "C"], "single"),
        ("A+B", ["A+C"], "combination"),
        ("A+B", ["A", "B"], "single"),
        ("A+B", ["A", "B", "B+A"], "itself"),
    ],
)
def test_what_training_shows_of_a_perturbation(
    perturbation: str, trained: list[str], expected: str
) -> None:
    assert shown(perturbation, trained) == expected


def test_similarities_by_hand() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(200, 3))
    expression = pd.DataFrame({"A": x[:, 0], "B": x[:, 0] + x[:, 1], "C": np.zeros(200)})
    terms = terms_of({"s": frozenset("AB"), "t": frozenset("A"), "u": frozenset("D")})
    names = ["A", "A+B", "B", "C", "D"]
    found = similarities(names, Genes(expression=expression, terms=terms))

    def value(kind: str, one: str, other: str) -> float:
        return float(found[kind].to_numpy()[names.index(one), names.index(other)])

    assert value("target", "A", "A+B") == 0.5
    assert np.isnan(value("target", "A", "B"))
    assert value("go", "A", "B") == 0.5
    assert value("go", "A", "A+B") == 1.0
    r = np.corrcoef(expression["A"], expression["A"] + expression["B"])[0, 1]
    assert value("coexpression", "A", "A+B") == pytest.approx(r)
    for kind in ("go", "coexpression"):
        assert np.isnan([value(kind, "A", "C"), value(kind, "A", "D")]).all()


def test_expression_is_standardised_within_each_context() -> None:
    values = np.array([[1.0, 5.0], [3.0, 5.0], [10.0, 0.0], [30.0, 2.0]])
    found = standardised(values, pd.Series(["a", "a", "b", "b"]))
    assert found.tolist() == [[-1.0, 0.0], [1.0, 0.0], [-1.0, -1.0], [1.0, 1.0]]


def combination_fold() -> tuple[FoldFiles, str]:
    """One fold that tests a pair both of whose singles are trained on, and the pair."""
    from anndata import AnnData

    obs, board = few_doubles(5), perturbation_board("combination")
    roles, _ = draw(obs, board, RULE)
    rows = roles.loc[roles["fold"] == 0, ["cell_id", "role"]]
    truth = pd.DataFrame({"cell_id": pd.Series(dtype=str)})
    files = FoldFiles(board=board, fold=0, roles=rows, obs=obs, inputs=AnnData(), truth=truth)
    (pair,) = set(obs.loc[rows.loc[rows["role"] == "test", "cell_id"], "perturbation"])
    return files, str(pair)


def combination_errors(files: FoldFiles) -> list[Finding]:
    return [f for f in CHECKS["combinations"](files) if f.severity == "error"]


def test_a_pair_whose_two_singles_are_trained_on_is_a_stratum_and_no_error() -> None:
    files, pair = combination_fold()
    trained = files.roles.loc[files.roles["role"].isin(["train", "validation"]), "cell_id"]
    assert set(pair.split("+")) <= set(files.obs.loc[trained, "perturbation"])
    assert combination_errors(files) == []


@pytest.mark.parametrize("role", ["train", "validation"])
def test_a_pair_whose_two_singles_and_itself_are_trained_on_is_an_error(role: str) -> None:
    files, pair = combination_fold()
    roles = files.roles.copy()
    roles.loc[roles.index[roles["role"] == "test"][0], "role"] = role
    (error,) = combination_errors(replace(files, roles=roles))
    assert error.ids == (pair,)
    assert "training holds all singles and the combination itself" in error.message
