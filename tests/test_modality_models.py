"""Baselines, controls and adversaries of modality boards, against formulas worked out apart."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LinearRegression, Ridge
from sklearn.neighbors import KNeighborsRegressor

from leaderboard.cases import build_case
from leaderboard.metrics import METRICS
from leaderboard.models import MODELS
from leaderboard.models._hvg_pca import hvg_pca
from leaderboard.score import score_board
from leaderboard.spec import Board, Case, Evidence, RunContext
from tests.conftest import PROTEINS, write_truth

if TYPE_CHECKING:
    from anndata import AnnData

NAMES = list(PROTEINS)
SIZES: dict[str, dict[str, Any]] = {
    "ridge_protein": {"n_dims": 8}, "knn_protein": {"n_dims": 8, "k": 7},
    "type_mean_protein": {"n_dims": 8},
}  # fmt: skip


def predicted(
    name: str, case: Case, truth: Path | None = None, inputs: "AnnData | None" = None
) -> pd.DataFrame:
    """Proteins by test cell."""
    logged: list[str] = []
    run = RunContext(
        seed=0, threads=1, max_epochs=None, log=lambda curve, *_: logged.append(curve),
        truth_path=truth,
    )  # fmt: skip
    adapter = MODELS[name].load(**SIZES.get(name, {}))
    inputs = case.inputs.copy() if inputs is None else inputs
    table: pd.DataFrame = adapter.predict_proteins(inputs, run)
    assert set(table[NAMES].dtypes) == {np.dtype(np.float32)}
    return table.set_index("cell_id")[NAMES].astype(np.float64)


class Known:
    """What a case shows, taken apart."""

    def __init__(self, case: Case) -> None:
        inputs = case.inputs
        self.is_test = (inputs.obs["role"] == "test").to_numpy()
        self.cells = inputs.obs_names[self.is_test]
        self.proteins = inputs.obsm["protein"][~self.is_test].astype(np.float64)
        self.label = inputs.obs["cell_type"].astype(object).to_numpy()
        counts = inputs.X.toarray().astype(np.float64)
        total = counts.sum(axis=1, keepdims=True)
        target = np.median(total[~self.is_test])
        self.log_counts = pd.DataFrame(np.log1p(counts / total * target), columns=inputs.var_names)


@pytest.fixture(scope="module")
def known(proteins_case: Case) -> Known:
    return Known(proteins_case)


def check(found: pd.DataFrame, known: Known, expected: Any) -> None:
    np.testing.assert_allclose(found.loc[known.cells], expected, atol=1e-5)


def test_the_mean_is_that_of_training_and_validation_cells(
    proteins_case: Case, known: Known
) -> None:
    expected = np.tile(known.proteins.mean(axis=0), (len(known.cells), 1))
    found = predicted("mean_protein", proteins_case)
    check(found, known, expected)
    assert np.ptp(found.to_numpy(), axis=0).tolist() == [0.0] * len(NAMES)
    assert (predicted("zeros_protein", proteins_case) == 0).all(axis=None)


def test_the_own_gene_is_a_least_squares_line_and_the_mean_where_names_differ(
    proteins_case: Case, known: Known
) -> None:
    found = predicted("own_gene_protein", proteins_case)
    expected = np.tile(known.proteins.mean(axis=0), (len(known.cells), 1))
    for k, name in enumerate(NAMES[:2]):
        x = known.log_counts[[name]].to_numpy()
        line = LinearRegression().fit(x[~known.is_test], known.proteins[:, k])
        expected[:, k] = line.predict(x[known.is_test])
    check(found, known, expected)
    assert (np.ptp(found.to_numpy(), axis=0) > 0).tolist() == [True, True, False, False, False]


def test_a_gene_that_does_not_vary_gives_the_mean(proteins_case: Case, known: Known) -> None:
    inputs = proteins_case.inputs.copy()
    counts = inputs.X.tolil()
    counts[:, list(inputs.var_names).index("G008")] = 0
    inputs.X = counts.tocsr()
    found = predicted("own_gene_protein", proteins_case, inputs=inputs)
    np.testing.assert_allclose(found["G008"], known.proteins[:, 1].mean(), rtol=1e-6)


def test_ridge_equals_scikit_learns_on_components_of_one_scale(
    proteins_case: Case, known: Known
) -> None:
    components = hvg_pca(proteins_case.inputs.copy(), 2000, 8)
    x = components / components[~known.is_test].std()
    model = Ridge(alpha=1.0, solver="cholesky").fit(x[~known.is_test], known.proteins)
    check(predicted("ridge_protein", proteins_case), known, model.predict(x[known.is_test]))


def test_knn_equals_scikit_learns_regressor(proteins_case: Case, known: Known) -> None:
    components = hvg_pca(proteins_case.inputs.copy(), 2000, 8)
    model = KNeighborsRegressor(n_neighbors=7, algorithm="brute")
    model.fit(components[~known.is_test], known.proteins)
    expected = model.predict(components[known.is_test])
    check(predicted("knn_protein", proteins_case), known, expected)


def test_the_mean_of_a_type_is_that_of_the_type_that_logistic_regression_calls(
    proteins_case: Case, known: Known
) -> None:
    run = RunContext(seed=0, threads=1, max_epochs=None, log=lambda *_: None)
    caller = MODELS["logistic_regression"].load(n_dims=8)
    called = caller.annotate(proteins_case.inputs.copy(), run).set_index("cell_id")["label"]
    label = known.label[~known.is_test]
    means = {t: known.proteins[label == t].mean(axis=0) for t in np.unique(label.astype(str))}
    expected = np.stack([means[t] for t in called.loc[known.cells]])
    check(predicted("type_mean_protein", proteins_case), known, expected)
    assert called.nunique() == 3


def test_cells_without_a_type_teach_the_mean_of_a_type_nothing(proteins_case: Case) -> None:
    inputs = proteins_case.inputs.copy()
    fitted = np.flatnonzero((inputs.obs["role"] != "test").to_numpy())
    inputs.obs.loc[inputs.obs_names[fitted[:40]], "cell_type"] = None
    left = np.setdiff1d(np.arange(inputs.n_obs), fitted[:40])
    found = predicted("type_mean_protein", proteins_case, inputs=inputs)
    expected = predicted("type_mean_protein", proteins_case, inputs=inputs[left].copy())
    pd.testing.assert_frame_equal(found, expected)


def test_the_constant_is_one_number(proteins_case: Case, known: Known) -> None:
    found = predicted("constant", proteins_case).to_numpy()
    assert len(np.unique(found)) == 1
    assert found[0, 0] == pytest.approx(known.proteins.mean(), rel=1e-6)


def test_depth_only_sees_totals_and_no_gene(proteins_case: Case) -> None:
    inputs = proteins_case.inputs.copy()
    found = predicted("depth_only", proteins_case, inputs=inputs)
    order = np.random.default_rng(0).permutation(inputs.n_vars)
    inputs.X = inputs.X[:, order].copy()
    pd.testing.assert_frame_equal(found, predicted("depth_only", proteins_case, inputs=inputs))
    depth = np.asarray(inputs.X.sum(axis=1)).ravel()
    of_cell = pd.Series(depth, index=inputs.obs_names)[found.index]
    by_depth = found.groupby(of_cell.to_numpy()).nunique()
    assert (by_depth == 1).all(axis=None)
    assert (found.nunique() > 3).all()


def test_the_oracle_knows_the_expected_protein_and_the_shuffled_truth_the_units_own(
    proteins: "AnnData", proteins_case: Case, proteins_truth: Path
) -> None:
    truth = proteins_case.truth.set_index("cell_id")
    real = proteins[truth["real_cell_id"]]
    oracle = predicted("oracle", proteins_case, proteins_truth).loc[truth.index]
    np.testing.assert_allclose(oracle, real.obsm["protein_mean"], rtol=1e-6)
    dealt = predicted("shuffled", proteins_case, proteins_truth).loc[truth.index].to_numpy()
    own = real.obsm["protein"]
    assert (dealt[:, 0] != own[:, 0]).mean() > 0.8
    for unit in truth["unit"].unique():
        members = (truth["unit"] == unit).to_numpy()
        one, two = (values[members][np.argsort(values[members][:, 0])] for values in (dealt, own))
        np.testing.assert_allclose(one, two, rtol=1e-6)


def test_floor_baselines_and_oracle_stand_in_their_order(
    proteins: "AnnData", proteins_roles: pd.DataFrame, proteins_board: Board, tmp_path: Path
) -> None:
    """The mean is the floor, knowing cells is above it, and nothing is above the oracle."""
    metric = METRICS["pearson_per_protein"]
    cases = [
        build_case(proteins, proteins_roles, proteins_board, fold, "test")
        for fold in range(proteins_roles["fold"].nunique())
    ]
    truths = [write_truth(case, tmp_path / str(fold)) for fold, case in enumerate(cases)]

    def score(name: str) -> float:
        items = [
            Evidence(
                fold=fold, seed=0, prediction=predicted(name, case, truths[fold]).reset_index(),
                truth=case.truth, groups=case.groups,
            )
            for fold, case in enumerate(cases)
        ]  # fmt: skip
        rows = score_board(name, proteins_board, items, {"proteins": NAMES}, [metric])
        assert len(rows) == 6
        return float(rows["value"].mean())

    assert score("mean_protein") == score("zeros_protein") == score("constant") == 0.0
    assert abs(score("shuffled")) < 0.15
    skilled = [score(name) for name in ("ridge_protein", "knn_protein", "type_mean_protein")]
    assert 0.1 < score("own_gene_protein") < min(skilled) < max(skilled) < score("oracle")
    assert score("depth_only") < min(skilled)
