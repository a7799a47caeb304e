"""The probe of gene embeddings: folds, families, an oracle, what it must not be helped by."""

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import RidgeCV
from sklearn.metrics import roc_auc_score

from leaderboard.errors import PredictionError, TableError, UndefinedScoreError
from leaderboard.metrics import METRICS
from leaderboard.spec import Board, Case, Evidence, GenePropertyUnit
from leaderboard.tasks import TASKS
from leaderboard.tasks._probe import PENALTIES, asked_genes, families, units_of

if TYPE_CHECKING:
    from anndata import AnnData

TASK = TASKS["gene_property"]
MATCHED = METRICS["property_auroc_matched"].compute
PLAIN = METRICS["property_auroc"].compute


def made_genes(n: int = 150, seed: int = 0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    has = rng.random(n) < 0.3
    return pd.DataFrame(
        {
            "unit": [f"genes_{k % 5 + 1}" for k in range(n)],
            "has_property": has,
            "family": np.where(rng.random(n) < 0.5, "ZNF", "other"),
        }
    )


def with_signal(genes: pd.DataFrame, n_dims: int, seed: int = 0) -> np.ndarray:
    values = np.random.default_rng(seed).normal(size=(len(genes), n_dims))
    values[:, 0] += 1.5 * genes["has_property"]
    return values


def mean_of(genes: pd.DataFrame, places: np.ndarray) -> float:
    return float(np.mean([PLAIN(unit) for unit in units_of(genes, places).values()]))


# The probe


@pytest.mark.parametrize("n_dims", [3, 400])
@pytest.mark.parametrize(
    "law", [np.ones, lambda n: np.logspace(0, -2, n), lambda n: np.arange(1, n + 1)]
)
def test_the_probe_is_the_ridge_of_the_least_leave_one_out_error(
    n_dims: int, law: Callable[[int], np.ndarray]
) -> None:
    genes = made_genes()
    places = with_signal(genes, n_dims) * law(n_dims)
    own = (genes["unit"] == "genes_1").to_numpy()
    known, target = places[~own], genes["has_property"].to_numpy(dtype=float)[~own]
    centre, spread = known.mean(axis=0), known.std(axis=0)
    fits = []
    for scale in (np.sqrt((spread**2).mean()), spread):
        oracle = RidgeCV(alphas=PENALTIES * len(known), store_cv_results=True)
        oracle.fit((known - centre) / scale, target)
        error = oracle.cv_results_.mean(axis=0).min()
        fits.append((error, oracle.predict((places[own] - centre) / scale) - target.mean()))
    found = units_of(genes, places)["genes_1"].score
    np.testing.assert_allclose(found, min(fits, key=lambda f: f[0])[1], atol=1e-8)


def test_folds_hold_every_gene_once_and_both_kinds_alike(network: "AnnData") -> None:
    genes = asked_genes(network)
    assert sorted(genes["gene"]) == sorted(network.var_names)
    sizes = genes.groupby("unit")["has_property"].agg(["size", "sum"])
    assert len(sizes) == 5
    assert sizes["size"].max() - sizes["size"].min() <= 2
    assert sizes["sum"].max() - sizes["sum"].min() <= 1


def test_a_gene_keeps_its_fold_when_the_order_of_genes_changes(network: "AnnData") -> None:
    turned = network[:, ::-1].copy()
    turned.uns["gene_property"] = network.uns["gene_property"].iloc[::-1]
    pd.testing.assert_frame_equal(
        asked_genes(network), asked_genes(turned).reset_index(drop=True), check_index_type=False
    )


def test_a_gene_in_few_cells_is_not_asked_for(network: "AnnData") -> None:
    rare = network.copy()
    counts = rare.X.tolil()
    counts[9:, 3] = 0
    rare.X = counts.tocsr()
    assert set(network.var_names) - set(asked_genes(rare)["gene"]) == {network.var_names[3]}


def test_a_dataset_without_a_property_is_refused(atlas: "AnnData") -> None:
    with pytest.raises(TableError, match="no property of genes"):
        asked_genes(atlas)


def test_the_scale_and_order_of_dimensions_do_not_matter() -> None:
    genes = made_genes()
    places = with_signal(genes, 20)
    turned = 1e4 * places[:, ::-1]
    for name, unit in units_of(genes, places).items():
        np.testing.assert_allclose(unit.score, units_of(genes, turned)[name].score, atol=1e-9)


def test_signal_in_large_dimensions_and_in_small_ones_is_found_alike() -> None:
    genes = made_genes(300)
    places = with_signal(genes, 80)
    for position, law in ((0, np.logspace(0, -3, 80)), (79, np.ones(80))):
        assert mean_of(genes, np.roll(places, position, axis=1) * law) > 0.7


def test_dimensions_of_noise_neither_find_the_property_nor_hide_it() -> None:
    genes = made_genes(400)
    draws = np.random.default_rng(5).normal(size=(20, 400, 100))
    alone = [mean_of(genes, noise) for noise in draws]
    signal, noise = with_signal(genes, 1), draws[0]
    assert abs(np.mean(alone) - 0.5) < 3 * np.std(alone) / np.sqrt(20)
    assert mean_of(genes, signal) > 0.8
    assert mean_of(genes, np.hstack([signal, noise])) > 0.7


def test_knowing_nothing_scores_a_half_and_the_property_scores_one() -> None:
    genes = made_genes()
    assert mean_of(genes, np.ones((len(genes), 3))) == 0.5
    assert mean_of(genes, genes[["has_property"]].to_numpy(dtype=float)) == 1.0


# Families


def test_families_are_large_sets_of_symbols_that_begin_alike() -> None:
    names = np.array([f"ZNF{i}" for i in range(20)] + [f"HOXA{i}" for i in range(19)] + ["7SK"])
    found = families(names)
    assert set(found[:20]) == {"ZNF"}
    assert set(found[20:]) == {"other"}


def test_knowing_the_family_alone_wins_auroc_and_nothing_within_families() -> None:
    rng = np.random.default_rng(3)
    family = np.repeat(["ZNF", "other"], 200)
    has = np.where(family == "ZNF", rng.random(400) < 0.05, rng.random(400) < 0.5)
    unit = GenePropertyUnit(score=(family == "other") * 1.0, has_property=has, family=family)
    assert PLAIN(unit) > 0.75
    assert MATCHED(unit) == 0.5


def test_matched_auroc_counts_pairs_of_one_family() -> None:
    rng = np.random.default_rng(1)
    unit = GenePropertyUnit(
        score=rng.normal(size=60).round(1),
        has_property=rng.random(60) < 0.4,
        family=rng.choice(["ZNF", "HOX", "other"], 60),
    )
    assert PLAIN(unit) == pytest.approx(roc_auc_score(unit.has_property, unit.score))
    won = pairs = 0.0
    for i in np.flatnonzero(unit.has_property):
        for j in np.flatnonzero(~unit.has_property & (unit.family == unit.family[i])):
            won += (unit.score[i] > unit.score[j]) + 0.5 * (unit.score[i] == unit.score[j])
            pairs += 1
    assert MATCHED(unit) == pytest.approx(won / pairs)


def test_a_fold_without_a_pair_is_undefined_not_zero() -> None:
    has = np.array([True, True, False])
    unit = GenePropertyUnit(score=np.arange(3.0), has_property=has, family=np.array(list("aab")))
    with pytest.raises(UndefinedScoreError, match="no family"):
        MATCHED(unit)
    alone = GenePropertyUnit(score=np.arange(2.0), has_property=has[:2], family=unit.family[:2])
    with pytest.raises(UndefinedScoreError, match="without it"):
        PLAIN(alone)


# The task


def test_the_inputs_name_genes_and_show_no_label(property_case: Case) -> None:
    assert property_case.queries is not None
    assert list(property_case.queries) == ["gene"]
    assert set(property_case.inputs.obs) <= {"role", "total_counts_all_genes"}
    assert not property_case.inputs.uns
    assert not len(property_case.inputs.var.columns)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda t: t.iloc[1:], "missing"),
        (lambda t: pd.concat([t, t.iloc[:1]]), "duplicated"),
        (lambda t: t.assign(gene=["?", *t["gene"][1:]]), "missing"),
        (lambda t: t.assign(d0=np.inf), "not finite"),
        (lambda t: t.rename(columns={"d0": "d7"}), "without a gap"),
        (lambda t: t.assign(d0="a"), "hold no numbers"),
    ],
)
def test_an_answer_that_is_no_embedding_of_the_asked_genes_is_refused(
    property_case: Case, change: object, said: str
) -> None:
    assert property_case.queries is not None
    table = property_case.queries.assign(d0=0.0)
    TASK.check_prediction(table, property_case.queries, ())
    assert callable(change)
    with pytest.raises(PredictionError, match=said):
        TASK.check_prediction(change(table), property_case.queries, ())


def test_failures_list_the_genes_on_the_wrong_side(
    property_case: Case, property_board: Board
) -> None:
    genes = property_case.truth.sort_values("gene")
    wrong = genes["gene"].iloc[0]
    place = np.where(genes["gene"] == wrong, ~genes["has_property"], genes["has_property"])
    table = genes[["gene"]].assign(d0=place.astype(float))
    item = Evidence(fold=0, seed=0, prediction=table, truth=property_case.truth)
    rows = TASK.failures([item], property_board, {})
    assert set(rows["kind"]) == {"gene_error"}
    has = bool(genes["has_property"].iloc[0])
    own = rows[(rows["subject"] == wrong)]
    assert own["key"].tolist() == ["with" if has else "without"]
    assert own["position"].tolist() == [0]
