"""Annotation baselines do what they say, from training cells alone, in any order of cells."""

from dataclasses import replace
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from scipy import stats

from leaderboard.errors import ConfigError
from leaderboard.models import MODELS
from leaderboard.models._hvg_pca import hvg_pca, normalised_dispersion, variable_genes
from leaderboard.models._inputs import fitted, log_counts
from leaderboard.models._scvi import Size, cells_for_scvi, fit_scvi, load_scvi
from leaderboard.models.linear_sgd import _shares
from leaderboard.models.marker_genes import welch_t
from leaderboard.spec import Case, RunContext
from leaderboard.tasks import TASKS

if TYPE_CHECKING:
    from anndata import AnnData

BASELINES: dict[str, dict[str, Any]] = {
    "depth_only": {},
    "knn": {"n_dims": 8},
    "linear_sgd": {},
    "logistic_regression": {"n_dims": 8},
    "majority": {},
    "marker_genes": {"n_markers": 5},
    "nearest_centroid": {"n_dims": 8},
    "one_gene_stump": {},
    "stratified_random": {},
    "technical_covariates": {},
}
has_scvi = pytest.mark.skipif(find_spec("scvi") is None, reason="needs the extra `scvi`")


def no_log(name: str, value: float, step: int) -> None:
    assert name
    assert np.isfinite(value)
    assert step >= 0


def answer(name: str, inputs: "AnnData", seed: int = 0, **parameters: Any) -> pd.DataFrame:
    run = RunContext(seed=seed, threads=1, max_epochs=2, log=no_log)
    parameters = {**BASELINES.get(name, {}), **parameters}
    table: pd.DataFrame = MODELS[name].load(**parameters).annotate(inputs.copy(), run)
    shown = inputs.obs["cell_type"].dropna().astype(str)
    keys = pd.DataFrame({"cell_id": inputs.obs_names[inputs.obs["role"] == "test"]})
    TASKS["cell_type_annotation"].check_prediction(table, keys, sorted(shown.unique()))
    return table


def sorted_by_cell(table: pd.DataFrame) -> pd.DataFrame:
    return table.sort_values("cell_id").reset_index(drop=True)


@pytest.fixture
def inputs(atlas_case: Case) -> "AnnData":
    copy = atlas_case.inputs.copy()
    copy.obs["cell_type"] = copy.obs["cell_type"].astype(object)
    return copy


@pytest.mark.parametrize("name", BASELINES)
def test_the_order_of_cells_does_not_matter_under_one_seed(name: str, inputs: "AnnData") -> None:
    order = np.random.default_rng(3).permutation(inputs.n_obs)
    one, other = answer(name, inputs), answer(name, inputs[order])
    pd.testing.assert_frame_equal(sorted_by_cell(one), sorted_by_cell(other), atol=1e-5)


@pytest.mark.parametrize("name", BASELINES)
def test_nothing_is_fitted_on_test_cells(name: str, inputs: "AnnData") -> None:
    # The other test cells change beyond recognition; the answer for the first ten stays.
    is_test = np.flatnonzero(inputs.obs["role"] == "test")
    changed = inputs.copy()
    counts = changed.X.toarray()
    counts[is_test[10:]] = counts[is_test[10:]][:, ::-1] * 7
    changed.X = sp.csr_matrix(counts)
    one, other = answer(name, inputs).head(10), answer(name, changed).head(10)
    pd.testing.assert_frame_equal(one, other, atol=1e-6)


@pytest.mark.parametrize("name", BASELINES)
def test_training_without_a_label_never_answers_with_it(name: str, inputs: "AnnData") -> None:
    keep = ~(inputs.obs["cell_type"] == "C").to_numpy()
    table = answer(name, inputs[keep])
    assert set(table["label"]) <= {"A", "B"}
    assert "p:C" not in table


@pytest.mark.parametrize("name", ["knn", "linear_sgd", "marker_genes"])
def test_models_of_many_genes_find_the_easy_types(
    name: str, inputs: "AnnData", atlas_case: Case
) -> None:
    truth = atlas_case.truth.set_index("cell_id")["label"]
    table = answer(name, inputs, **({"epochs": 2} if name == "linear_sgd" else {}))
    assert (table["label"].to_numpy() == truth[table["cell_id"]].to_numpy()).mean() > 0.9


# Genes and components


@pytest.mark.parametrize("n_genes", [40, 300])
def test_dispersions_equal_those_of_scanpy(n_genes: int) -> None:
    import anndata
    import scanpy

    rng = np.random.default_rng(n_genes)
    rate = rng.gamma(0.6, 2.0, n_genes) * np.exp(rng.normal(0, 1, (150, n_genes)))
    rate[:, 0], rate[:, 1] = 0.0, 400.0  # a gene of zeros, and one alone in its bin
    counts = sp.csr_matrix(np.log1p(rng.poisson(rate)).astype(np.float64))
    adata = anndata.AnnData(counts.copy())
    scanpy.pp.highly_variable_genes(adata, n_top_genes=n_genes // 4, flavor="seurat")
    expected = adata.var["dispersions_norm"].to_numpy()
    found = normalised_dispersion(counts)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5, equal_nan=True)
    assert np.isnan(found[0])
    chosen = np.flatnonzero(adata.var["highly_variable"])
    assert set(variable_genes(counts, n_genes // 4)) == set(chosen)


@pytest.mark.parametrize("n_genes", [20, 40])
def test_components_equal_the_singular_vectors_of_fitted_cells(
    inputs: "AnnData", n_genes: int
) -> None:
    values, is_fitted = log_counts(inputs), fitted(inputs)
    if n_genes < inputs.n_vars:
        values = values[:, variable_genes(values[is_fitted], n_genes)]
    dense = values.toarray()
    centred = dense - dense[is_fitted].mean(axis=0)
    axes = np.linalg.svd(centred[is_fitted], full_matrices=False)[2][:6].T
    found = hvg_pca(inputs, n_genes, 6)
    np.testing.assert_allclose(np.abs(found), np.abs(centred @ axes), atol=1e-9)


# What single baselines answer


def test_stratified_random_draws_by_training_frequencies(inputs: "AnnData") -> None:
    table = pd.concat([answer("stratified_random", inputs, seed=s) for s in range(30)])
    share = inputs.obs["cell_type"].dropna().value_counts(normalize=True)
    drawn = table["label"].value_counts()
    assert stats.chisquare(drawn[share.index], share * len(table)).pvalue > 0.01
    for name, value in share.items():
        assert table[f"p:{name}"].to_numpy() == pytest.approx(value, abs=1e-6)


def test_knn_counts_votes_as_a_plain_search_does(inputs: "AnnData") -> None:
    table = answer("knn", inputs, k=7)
    space, is_fitted = hvg_pca(inputs, 2000, 8), fitted(inputs)
    label = inputs.obs["cell_type"].to_numpy()[is_fitted]
    test = space[(inputs.obs["role"] == "test").to_numpy()]
    for row, point in zip(table.itertuples(index=False), test, strict=True):
        near = np.argsort(np.linalg.norm(space[is_fitted] - point, axis=1))[:7]
        shares = [float(np.mean(label[near] == name)) for name in "ABC"]
        assert list(row)[2:] == pytest.approx(shares, abs=1e-6)
        assert row[1] == "ABC"[int(np.argmax(shares))]


def test_the_stump_looks_at_the_one_gene_that_parts_the_types_best(inputs: "AnnData") -> None:
    counts = np.ones(inputs.shape)
    kind = inputs.obs["cell_type"].to_numpy()
    # Gene 5 tells B from the others, gene 9 tells C; B has more cells.
    counts[kind == "B", 5] = 40
    counts[kind == "C", 9] = 40
    is_test = (inputs.obs["role"] == "test").to_numpy()
    counts[np.flatnonzero(is_test)[::2], 5] = 40
    inputs.X = sp.csr_matrix(counts.astype(np.float32))
    label = answer("one_gene_stump", inputs)["label"].to_numpy()
    assert set(label[::2]) == {"B"}
    assert set(label[1::2]) == {"A"}


def test_the_purity_of_a_gene_is_one_minus_its_gini_impurity(inputs: "AnnData") -> None:
    values, is_fitted = log_counts(inputs)[fitted(inputs)], fitted(inputs)
    label = np.unique(
        inputs.obs["cell_type"].to_numpy()[is_fitted].astype(str), return_inverse=True
    )
    stump = MODELS["one_gene_stump"].load()
    found = stump._purity(values, label[1])
    for gene in range(0, inputs.n_vars, 7):
        leaf = np.minimum(np.ceil(np.maximum(values[:, gene].toarray().ravel(), 0) / 0.5), 9)
        table = pd.crosstab(leaf, label[1]).to_numpy(dtype=float)
        share = table / table.sum(axis=1, keepdims=True)
        gini = (1 - np.square(share).sum(axis=1)) @ table.sum(axis=1) / len(leaf)
        assert found[gene] == pytest.approx(1 - gini, abs=1e-12)


def test_markers_are_ranked_by_the_welch_t_of_scipy(inputs: "AnnData") -> None:
    values = log_counts(inputs)[fitted(inputs)]
    kind = inputs.obs["cell_type"].to_numpy()[fitted(inputs)]
    names, number = np.unique(kind.astype(str), return_inverse=True)
    found = welch_t(values, number, len(names))
    dense = values.toarray()
    for k, name in enumerate(names):
        chosen = kind == name
        expected = stats.ttest_ind(dense[chosen], dense[~chosen], equal_var=False).statistic
        np.testing.assert_allclose(found[k], expected, atol=1e-7)


def test_a_marker_may_come_from_a_label_of_one_cell(inputs: "AnnData") -> None:
    first = inputs.obs_names[fitted(inputs)][0]
    inputs.obs.loc[first, "cell_type"] = "Z"
    assert np.isfinite(
        welch_t(log_counts(inputs)[fitted(inputs)], np.arange(fitted(inputs).sum()) % 2, 2)
    ).all()
    assert len(answer("marker_genes", inputs)) == (inputs.obs["role"] == "test").sum()


@pytest.mark.parametrize("name", ["depth_only", "technical_covariates"])
def test_models_of_depth_follow_depth_and_no_gene(name: str, inputs: "AnnData") -> None:
    kind = inputs.obs["cell_type"].to_numpy()
    level = pd.Series(kind).map({"A": 1, "B": 5, "C": 20}).to_numpy(dtype=float)
    is_test = (inputs.obs["role"] == "test").to_numpy()
    level[is_test] = np.resize([1, 5, 20], is_test.sum())
    counts = np.repeat(level[:, None], inputs.n_vars, axis=1)
    inputs.X = sp.csr_matrix(counts.astype(np.float32))
    before = answer(name, inputs)
    assert before["label"].tolist() == np.resize(list("ABC"), is_test.sum()).tolist()
    mixed = np.random.default_rng(0).permuted(counts, axis=1)
    inputs.X = sp.csr_matrix(mixed.astype(np.float32))
    pd.testing.assert_frame_equal(answer(name, inputs), before)


def test_linear_probabilities_survive_decisions_that_underflow() -> None:
    shares = _shares(np.array([[-2000.0, -1000.0, -1500.0], [0.0, 0.0, 0.0], [3.0, -1.0, -1.0]]))
    assert shares[0] == pytest.approx([0.0, 1.0, 0.0])
    assert shares[1] == pytest.approx([1 / 3] * 3)
    expected = 1 / (1 + np.exp([-3.0, 1.0, 1.0]))
    assert shares[2] == pytest.approx(expected / expected.sum())
    assert _shares(np.array([0.0, 50.0])).sum(axis=1) == pytest.approx(1.0)


# scVI and scANVI


@pytest.mark.skipif(find_spec("scvi") is not None, reason="the extra `scvi` is here")
@pytest.mark.parametrize("name", ["scanvi", "scvi"])
def test_without_the_extra_one_line_says_how_to_have_it(name: str, inputs: "AnnData") -> None:
    with pytest.raises(ConfigError, match=r"pip install 'heldout\[scvi\]'") as error:
        answer(name, inputs)
    assert "\n" not in str(error.value)


def test_scvi_is_shown_no_label_and_no_batch_of_a_test_cell(inputs: "AnnData") -> None:
    everyone = cells_for_scvi(inputs, np.ones(inputs.n_obs, dtype=bool), np.arange(12))
    assert list(everyone.obs_names) == sorted(inputs.obs_names)
    assert everyone.n_vars == 12
    real = inputs[everyone.obs_names].obs
    is_test = (real["role"] == "test").to_numpy()
    assert set(everyone.obs["scvi_label"][is_test]) == {"(no label)"}
    assert everyone.obs["scvi_label"][~is_test].tolist() == real["cell_type"][~is_test].tolist()
    assert everyone.obs["scvi_batch"][~is_test].tolist() == real["batch"][~is_test].tolist()
    assert len(set(everyone.obs["scvi_batch"][is_test])) == 1
    inputs.obs = inputs.obs.drop(columns="batch")
    alone = cells_for_scvi(inputs, fitted(inputs), np.arange(12))
    assert set(alone.obs["scvi_batch"]) == {"all"}
    assert "(no label)" not in set(alone.obs["scvi_label"])


@has_scvi
@pytest.mark.parametrize("name", ["scanvi", "scvi"])
def test_scvi_repeats_itself_and_fits_nothing_on_test_cells(name: str, inputs: "AnnData") -> None:
    table = answer(name, inputs, epochs=2)
    pd.testing.assert_frame_equal(answer(name, inputs, epochs=2), table)
    is_test = np.flatnonzero(inputs.obs["role"] == "test")
    fewer = np.setdiff1d(np.arange(inputs.n_obs), is_test[5:])
    pd.testing.assert_frame_equal(answer(name, inputs[fewer], epochs=2), table.head(5), atol=1e-5)


@has_scvi
def test_the_encoder_of_scvi_does_not_look_at_the_batch(inputs: "AnnData") -> None:
    run = RunContext(seed=0, threads=1, max_epochs=2, log=no_log)
    size = Size(n_genes=40, n_latent=4, n_layers=1, epochs=2, patience=2)
    cells = cells_for_scvi(inputs, fitted(inputs), np.arange(40))
    model = fit_scvi(load_scvi(), inputs, cells, size, run)
    everyone = cells_for_scvi(inputs, np.ones(inputs.n_obs, dtype=bool), np.arange(40))
    one = model.get_latent_representation(everyone)
    everyone.obs["scvi_batch"] = max(set(cells.obs["scvi_batch"]))
    np.testing.assert_array_equal(model.get_latent_representation(everyone.copy()), one)
    assert np.ptp(one) > 0


def test_a_case_is_left_as_it_was(atlas_case: Case) -> None:
    before = replace(atlas_case, inputs=atlas_case.inputs.copy())
    for name, parameters in BASELINES.items():
        run = RunContext(seed=0, threads=1, max_epochs=2, log=no_log)
        MODELS[name].load(**parameters).annotate(atlas_case.inputs, run)
    assert (atlas_case.inputs.X != before.inputs.X).nnz == 0
    pd.testing.assert_frame_equal(atlas_case.inputs.obs, before.inputs.obs)
