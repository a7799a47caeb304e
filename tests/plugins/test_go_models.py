"""The GO baselines equal their formulas, worked out by hand and with scikit-learn."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.feature_extraction import DictVectorizer
from sklearn.linear_model import Ridge
from sklearn.metrics.pairwise import cosine_similarity

from leaderboard.errors import ReadError, ResourceError
from leaderboard.models import MODELS
from leaderboard.models._embedding import embed
from leaderboard.models._go import FILE, RESOURCE, go_embedding, targets_of
from leaderboard.spec import Case, Model, RunContext
from tests.plugins._asking import run_of
from tests.plugins._formulas import GENES, Known, check, predicted
from tests.plugins._go_sets import UNANNOTATED, tiny_sets, write_sets

BOTH = ("go_knn", "go_ridge")
each_model = pytest.mark.parametrize("name", BOTH)
MakeRun = Callable[..., RunContext]


@pytest.fixture
def run_with(tmp_path: Path) -> MakeRun:
    """A run whose GO file holds the sets given."""

    def make(sets: dict[str, list[str]], model: Model = MODELS["go_knn"]) -> RunContext:
        folder = write_sets(tmp_path / "go", sets)
        return replace(run_of(model, None), resources={RESOURCE: folder})

    return make


HAND = {"p": ["A", "B"], "q": ["A", "C", "D", "E"], "all": list("ABCDEFGH")}
"""8 genes: p holds a quarter of them and q half, so p tells twice as much as q; `all` nothing."""


def test_an_embedding_by_hand(run_with: MakeRun) -> None:
    found = go_embedding(["C", "B", "A", "H", "Z"], run_with(HAND), 2, 7)
    assert list(found.columns) == ["p", "q"]
    assert list(found.index) == ["C", "B", "A"]
    np.testing.assert_allclose(found.loc["A"], np.array([2, 1]) / np.sqrt(5))
    np.testing.assert_allclose(found.loc["B"], [1, 0])
    np.testing.assert_allclose(found.loc["C"], [0, 1])
    pair = embed(found, "A+Z+C")
    assert pair is not None
    np.testing.assert_allclose(pair, found.loc["A"] + found.loc["C"])
    assert embed(found, "H+Z") is None


def test_terms_of_other_sizes_are_left_out(run_with: MakeRun) -> None:
    run = run_with(HAND)
    assert list(go_embedding("ABC", run, 3, 7).columns) == ["q"]
    assert list(go_embedding("ABC", run, 2, 3).columns) == ["p"]
    assert list(go_embedding("ABC", run, 2, 3).index) == ["A", "B"]
    assert go_embedding("ABC", run, 9, 10).empty


def test_a_term_of_every_gene_tells_nothing(run_with: MakeRun) -> None:
    assert list(go_embedding("AH", run_with(HAND), 8, 8).index) == []


def shift_of(name: str, *arrays: Any, **parameters: Any) -> np.ndarray:
    shift: np.ndarray = MODELS[name].load(**parameters)._shift(*map(np.array, arrays))
    return shift


def test_neighbours_by_hand() -> None:
    """cos(A, B) = 2 / sqrt 5, cos(A, C) = 1 / sqrt 5, and the third shares no term with A."""
    known, shifts = [[1.0, 0, 0], [0, 1.0, 0], [0, 0, 1.0]], [[1.0, 0], [0, 4.0], [9.0, 9.0]]
    place = np.array([2, 1, 0]) / np.sqrt(5)
    np.testing.assert_allclose(shift_of("go_knn", place, known, shifts, k=1), [1, 0])
    np.testing.assert_allclose(shift_of("go_knn", place, known, shifts, k=2), [0.5, 2])
    np.testing.assert_allclose(shift_of("go_knn", place, known, shifts, k=3), [0.5, 2])


def test_neighbours_that_tie_are_all_in() -> None:
    known, shifts = [[1.0, 0], [1.0, 0], [0, 1.0]], [[1.0], [3.0], [9.0]]
    np.testing.assert_allclose(shift_of("go_knn", [1.0, 0], known, shifts, k=1), [2])


def test_a_target_that_shares_no_term_gets_the_mean_shift() -> None:
    known, shifts = [[1.0, 0, 0], [0, 1.0, 0]], [[1.0], [4.0]]
    np.testing.assert_allclose(shift_of("go_knn", [0, 0, 1.0], known, shifts), [2.5])


def test_ridge_by_hand() -> None:
    """Places at -1 and 1: sum of squares 2, penalty 0.5 * 2 / 2, so the slope is 3 * 2 / 2.5."""
    known, shifts = [[-1.0], [1.0]], [[0.0], [6.0]]
    found = shift_of("go_ridge", [1.0], known, shifts, ridge=0.5)
    np.testing.assert_allclose(found, [3 + 6 / 2.5])


def places_of(names: list[str]) -> np.ndarray:
    """Rows of unit length, with scikit-learn; all zero where no target has a term."""
    sets = {term: genes for term, genes in tiny_sets().items() if 5 <= len(genes) <= 500}
    n_genes = len({gene for genes in tiny_sets().values() for gene in genes})
    vectorizer = DictVectorizer(sparse=False).fit([dict.fromkeys(sets, 1.0)])

    def row(gene: str) -> Any:
        own = {t: float(np.log(n_genes / len(genes))) for t, genes in sets.items() if gene in genes}
        values = vectorizer.transform([own])[0]
        return values / (np.sqrt(np.sum(values**2)) or 1.0)

    return np.stack([np.sum([row(gene) for gene in name.split("+")], axis=0) for name in names])


def training(known: Known, context: str) -> tuple[np.ndarray, np.ndarray]:
    """Places and shifts of the annotated perturbations of a context, else of all."""
    own = known.shifts[known.shifts.index.get_level_values("context") == context]
    own = own if len(own) else known.shifts
    places = places_of(list(own.index.get_level_values("perturbation")))
    has_terms = places.any(axis=1)
    return places[has_terms], own.to_numpy()[has_terms]


def test_knn_averages_the_shifts_of_the_most_similar_targets(case: Case, known: Known) -> None:
    def expected(p: str, c: str) -> Any:
        place, (places, shifts) = places_of([p]), training(known, c)
        if not place.any():
            return known.control.loc[c] + known.shifts.mean()
        similarity = cosine_similarity(place, places)[0]
        order = np.argsort(-similarity, kind="stable")
        limit = max(similarity[order[4]], 1e-9)
        return known.control.loc[c] + shifts[similarity >= limit - 1e-10].mean(axis=0)

    check(predicted("go_knn", case), expected)


def test_ridge_equals_that_of_scikit_learn(case: Case, known: Known) -> None:
    def expected(p: str, c: str) -> Any:
        place, (places, shifts) = places_of([p]), training(known, c)
        if not place.any():
            return known.control.loc[c] + known.shifts.mean()
        penalty = 0.1 * ((places - places.mean(axis=0)) ** 2).sum() / len(places)
        return known.control.loc[c] + Ridge(alpha=penalty).fit(places, shifts).predict(place)[0]

    check(predicted("go_ridge", case), expected)


def test_the_two_differ_from_the_mean_shift_where_there_are_terms(case: Case) -> None:
    mean = predicted("delta_shift", case)
    annotated = [bool(places_of([p]).any()) for p, _ in mean.index]
    for name in BOTH:
        gap = np.abs(predicted(name, case) - mean).max(axis=1)
        assert (gap[annotated] > 0.01).all()
        assert (gap[[not a for a in annotated]] < 1e-4).all()


@each_model
def test_without_a_term_for_any_target_it_is_the_mean_shift_and_says_so(
    case: Case, known: Known, run_with: MakeRun, name: str
) -> None:
    logged: dict[str, float] = {}
    run = run_with({"p": [f"X{i}" for i in range(9)]}, MODELS[name])
    run = replace(run, log=lambda curve, value, _step: logged.update({curve: value}))
    table = MODELS[name].load().predict(case.inputs.copy(), case.queries, run)
    found = table.set_index(["perturbation", "context"])[GENES].astype(np.float64)
    check(found, lambda _p, c: known.control.loc[c] + known.shifts.mean())
    assert logged == {"embedded_targets": 0.0}


@each_model
def test_the_share_of_targets_with_terms_is_logged(case: Case, name: str) -> None:
    logged: dict[str, float] = {}
    run = run_of(MODELS[name], None)
    run = replace(run, log=lambda curve, value, _step: logged.update({curve: value}))
    assert case.queries is not None
    MODELS[name].load().predict(case.inputs.copy(), case.queries, run)
    lacks = [set(p.split("+")) <= set(UNANNOTATED) for p in case.queries["perturbation"]]
    assert logged == {"embedded_targets": pytest.approx(1 - np.mean(lacks))}


@each_model
def test_the_order_of_genes_and_of_lines_changes_nothing(
    case: Case, run_with: MakeRun, name: str
) -> None:
    model, turn = MODELS[name], np.random.default_rng(3)
    genes = turn.permutation(case.inputs.n_vars)
    sets = tiny_sets()
    turned = {k: list(turn.permutation(sets[k])) for k in turn.permutation(list(sets))}
    assert list(turned) != list(sets)
    one = model.load().predict(case.inputs.copy(), case.queries, run_of(model, None))
    inputs = case.inputs[:, genes].copy()
    other = model.load().predict(inputs, case.queries, run_with(turned, model))
    assert list(other.columns) != list(one.columns)
    pd.testing.assert_frame_equal(one, other[one.columns], atol=1e-5)


def test_every_gene_that_is_perturbed_or_asked_for_is_a_target(case: Case) -> None:
    assert case.queries is not None
    found = targets_of(case.inputs, case.queries)
    trained = set(case.inputs.obs["perturbation"].astype(str))
    named = trained | set(case.queries["perturbation"])
    assert found == sorted({gene for name in named for gene in name.split("+")})


@each_model
def test_a_run_without_the_table_is_one_clear_error(case: Case, name: str) -> None:
    run = run_of(MODELS["majority"], None)
    with pytest.raises(ResourceError, match=r"'go_bp_2021' and does not declare it.*Add it to"):
        MODELS[name].load().predict(case.inputs.copy(), case.queries, run)


@each_model
def test_a_folder_without_the_file_and_a_broken_file_are_clear_errors(
    case: Case, tmp_path: Path, name: str
) -> None:
    run = replace(run_of(MODELS[name], None), resources={RESOURCE: tmp_path})
    with pytest.raises(ResourceError, match=f"{FILE}: the resource 'go_bp_2021' has no such file"):
        MODELS[name].load().predict(case.inputs.copy(), case.queries, run)
    (tmp_path / FILE).write_text("no tabs here\n")
    with pytest.raises(ReadError, match=f"{FILE}, line 1: expected a name"):
        MODELS[name].load().predict(case.inputs.copy(), case.queries, run)
