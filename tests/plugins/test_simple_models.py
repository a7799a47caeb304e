"""Baselines and adversaries equal their formulas, worked out cell by cell."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import Ridge

from leaderboard.models import MODELS
from leaderboard.models._coexpression import gene_embedding
from leaderboard.spec import Case
from tests.plugins._asking import Cases, ask
from tests.plugins._formulas import GENES, Known, check, predicted


def test_means_equal_their_formulas(case: Case, known: Known) -> None:
    shift = known.shifts.mean()
    by_context = known.profiles.groupby("context").mean()
    overall = known.profiles.groupby("perturbation").mean().mean()

    def training(_p: str, c: str) -> Any:
        return by_context.loc[c] if c in by_context.index else overall

    def context_mean(_p: str, c: str) -> Any:
        own = known.profiles[known.profiles.index.get_level_values("context") == c]
        return pd.concat([known.control.loc[[c]], own]).mean()

    check(predicted("control_mean", case), lambda _p, c: known.control.loc[c])
    check(predicted("training_mean", case), training)
    check(predicted("delta_shift", case), lambda _p, c: known.control.loc[c] + shift)
    check(predicted("context_mean", case), context_mean)


def test_the_shift_of_the_same_perturbation_is_its_mean_over_training_contexts(
    case: Case, known: Known
) -> None:
    def expected(p: str, c: str) -> Any:
        if p not in known.shifts.index.get_level_values("perturbation"):
            return known.control.loc[c] + known.shifts.mean()
        return known.control.loc[c] + known.shifts.xs(p, level="perturbation").mean()

    check(predicted("perturbation_shift", case), expected)


def test_additive_adds_the_shifts_of_the_parts(case: Case, known: Known) -> None:
    def expected(p: str, c: str) -> Any:
        parts = [known.of(known.shifts, name, c) for name in p.split("+")]
        return known.control.loc[c] + sum(
            known.shifts.mean() if part is None else part for part in parts
        )

    check(predicted("additive", case), expected)


def test_matching_mean_averages_the_profiles_of_the_parts(case: Case, known: Known) -> None:
    contexts = known.profiles.groupby("context").mean()

    def expected(p: str, c: str) -> Any:
        centre = contexts.loc[c] if c in contexts.index else known.profiles.mean()
        parts = [known.of(known.profiles, name, c) for name in p.split("+")]
        return np.mean([centre if part is None else part for part in parts], axis=0)

    check(predicted("matching_mean", case), expected)


def correlations(known: Known) -> np.ndarray:
    controls = known.cells.loc[known.cells["role"] == "control_input", GENES].to_numpy()
    found: np.ndarray = np.corrcoef(controls.T)
    return found


def test_all_dimensions_of_the_embedding_give_back_the_correlations_of_control_cells(
    case: Case, known: Known
) -> None:
    embedding = gene_embedding(case.inputs, len(GENES))
    n = (known.cells["role"] == "control_input").sum()
    gram = embedding.to_numpy() @ embedding.to_numpy().T
    np.testing.assert_allclose(gram * (n - 1) / n, correlations(known), atol=1e-6)


def neighbours(known: Known, case: Case, p: str, c: str) -> tuple[np.ndarray, np.ndarray, Any]:
    """Embeddings of query and training perturbations of its context, else of all, and shifts."""
    embedding = gene_embedding(case.inputs, 20)
    own = known.shifts[known.shifts.index.get_level_values("context") == c]
    own = own if len(own) else known.shifts
    names = own.index.get_level_values("perturbation")
    places = np.stack([embedding.loc[name.split("+")].sum().to_numpy() for name in names])
    return embedding.loc[p.split("+")].sum().to_numpy(), places, own


def test_knn_averages_the_shifts_of_the_nearest_embeddings(case: Case, known: Known) -> None:
    def expected(p: str, c: str) -> Any:
        place, places, shifts = neighbours(known, case, p, c)
        norms = np.linalg.norm(places, axis=1) * np.linalg.norm(place)
        nearest = np.argsort(-(places @ place) / norms, kind="stable")[:5]
        return known.control.loc[c] + shifts.iloc[nearest].mean()

    check(predicted("coexpression_knn", case), expected)


def test_ridge_equals_that_of_scikit_learn(case: Case, known: Known) -> None:
    def expected(p: str, c: str) -> Any:
        place, places, shifts = neighbours(known, case, p, c)
        centred = places - places.mean(axis=0)
        penalty = 0.1 * (centred**2).sum() / len(places)
        fit = Ridge(alpha=penalty).fit(places, shifts.to_numpy())
        return known.control.loc[c] + fit.predict(place[None])[0]

    check(predicted("coexpression_ridge", case), expected)


def test_an_enormous_penalty_leaves_the_mean_shift(case: Case, known: Known) -> None:
    def expected(p: str, c: str) -> Any:
        return known.control.loc[c] + neighbours(known, case, p, c)[2].mean()

    check(predicted("coexpression_ridge", case, ridge=1e9), expected)


# Adversaries do what they are named for


def test_adversaries_equal_their_formulas(case: Case, known: Known) -> None:
    shift = known.shifts.mean()
    profile = known.profiles.mean()
    level = known.control.to_numpy().mean()
    check(predicted("anti_mean", case), lambda _p, c: known.control.loc[c] - shift)
    check(predicted("constant", case), lambda _p, _c: np.full(len(GENES), level))
    check(predicted("variance_inflator", case), lambda _p, c: known.control.loc[c] + 3 * shift)
    found = predicted("rescaler", case)
    np.testing.assert_allclose(found, np.tile(np.expm1(profile), (len(found), 1)), rtol=1e-4)
    ranks = np.argsort(np.argsort(found.iloc[0].to_numpy()))
    np.testing.assert_array_equal(ranks, np.argsort(np.argsort(profile.to_numpy())))


def test_the_spiker_moves_the_targets_of_the_query_and_nothing_else(
    case: Case, known: Known
) -> None:
    found = predicted("target_spiker", case)
    for place, (p, c) in enumerate(found.index):
        gap = found.iloc[place] - known.control.loc[c]
        is_target = gap.index.isin(p.split("+"))
        np.testing.assert_allclose(gap[is_target], 5.0, atol=1e-4)
        np.testing.assert_allclose(gap[~is_target], 0.0, atol=1e-4)


def test_depth_only_scales_the_controls_by_one_number(case: Case, known: Known) -> None:
    found = predicted("depth_only", case)
    controls = known.control.loc[found.index.get_level_values("context")].to_numpy()
    ratio = found.to_numpy()[controls > 1e-6] / controls[controls > 1e-6]
    np.testing.assert_allclose(ratio, ratio[0], rtol=1e-4)


def test_the_inflator_gives_a_variance_too(cases: Cases) -> None:
    table = ask(MODELS["variance_inflator"], "perturbation_prediction", cases)
    assert table["statistic"].value_counts().to_dict() == {
        "mean": len(table) // 2, "variance": len(table) // 2,
    }  # fmt: skip


# Annotation


@pytest.mark.parametrize("n_genes", [10, 20, 30])
def test_the_choice_of_genes_and_components_ignores_the_order_of_cells(
    cases: Cases, n_genes: int
) -> None:
    """Also where the last gene chosen ties with the next."""
    from leaderboard.models._hvg_pca import hvg_pca

    inputs = cases["cell_type_annotation"][0].inputs
    order = np.random.default_rng(1).permutation(inputs.n_obs)
    one, other = hvg_pca(inputs, n_genes, 5), hvg_pca(inputs[order].copy(), n_genes, 5)
    np.testing.assert_allclose(one[order], other, atol=1e-8)


@pytest.mark.parametrize("name", ["logistic_regression", "nearest_centroid"])
def test_the_fitted_models_find_the_easy_types(cases: Cases, name: str) -> None:
    truth = cases["cell_type_annotation"][0].truth.set_index("cell_id")["label"]
    found = ask(MODELS[name], "cell_type_annotation", cases).set_index("cell_id")["label"]
    assert (found == truth[found.index]).mean() > 0.9


def test_majority_answers_with_the_commonest_label_of_training(cases: Cases) -> None:
    found = ask(MODELS["majority"], "cell_type_annotation", cases)
    label = cases["cell_type_annotation"][0].inputs.obs["cell_type"].dropna().astype(str)
    assert set(found["label"]) == {label.value_counts().idxmax()}
    for name, share in label.value_counts(normalize=True).items():
        assert found[f"p:{name}"].to_numpy() == pytest.approx(share, abs=1e-6)
