"""Metrics of integration against scib-metrics, scikit-learn, scipy and worked examples."""

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LinearRegression
from sklearn.metrics import silhouette_samples
from sklearn.neighbors import NearestNeighbors

from leaderboard.embedding import K_LISI, Embedded, find_neighbours, load_scib, variance_explained
from leaderboard.errors import UndefinedScoreError
from leaderboard.metrics import METRICS
from leaderboard.metrics.bras import batch_silhouette
from leaderboard.metrics.kbet import acceptance
from leaderboard.spec import IntegrationUnit

N = 420


def cells(seed: int = 0, shift: float = 0.7, **changes: Any) -> Embedded:
    """Four types, one of them rare, in three batches that overlap."""
    rng = np.random.default_rng(seed)
    label = rng.choice(["a", "b", "c", "rare"], N, p=[0.5, 0.25, 0.19, 0.06])
    batch = np.where(label == "b", rng.choice(["x", "y"], N), rng.choice(["x", "y", "z"], N))
    places = rng.normal(0.0, 0.7, (4, 12))[np.searchsorted(["a", "b", "c", "rare"], label)]
    places += shift * rng.normal(0.0, 1.0, (3, 12))[np.searchsorted(["x", "y", "z"], batch)]
    embedding = (places + rng.normal(0.0, 0.8, (N, 12))).astype(np.float32)
    known: dict[str, Any] = {"isolated": ("b",), "batch_variance": 0.3}
    return Embedded(**{"embedding": embedding, "label": label, "batch": batch, **known, **changes})


def whole(embedded: Embedded) -> IntegrationUnit:
    return IntegrationUnit(cells=embedded, own=np.ones(len(embedded.label), dtype=bool))


def value(metric: str, embedded: Embedded) -> float:
    return METRICS[metric].compute(whole(embedded))


BENCHMARKED = {
    "clisi": "clisi_knn",
    "ilisi": "ilisi_knn",
    "nmi": "nmi_ari_cluster_labels_kmeans_nmi",
    "ari": "nmi_ari_cluster_labels_kmeans_ari",
    "bras": "bras",
    "graph_connectivity": "graph_connectivity",
    "pcr_comparison": "pcr_comparison",
}
"""Ours to the row of scib-metrics' Benchmarker."""


@pytest.fixture(scope="module")
def benchmarked() -> tuple[Embedded, "pd.Series[float]"]:
    """The Benchmarker's values on the exact neighbours that it is given."""
    from anndata import AnnData
    from scib_metrics.benchmark import BatchCorrection, Benchmarker, BioConservation

    found = cells()
    before = np.random.default_rng(9).normal(size=(N, 5)).astype(np.float32)
    before[found.batch == "x"] += 1.5
    adata = AnnData(
        np.zeros((N, 1), dtype=np.float32),
        obs=pd.DataFrame(
            {"label": found.label, "batch": found.batch}, index=np.arange(N).astype(str)
        ),
        obsm={"e": found.embedding, "before": before},
    )
    run = Benchmarker(
        adata, "batch", "label", ["e"], progress_bar=False,
        pre_integrated_embedding_obsm_key="before",
        bio_conservation_metrics=BioConservation(isolated_labels=False, silhouette_label=False),
        batch_correction_metrics=BatchCorrection(kbet_per_label=False),
    )  # fmt: skip
    run.prepare(neighbor_computer=lambda x, k: find_neighbours(x, k).first(k))
    run.benchmark()
    return (
        replace(found, batch_variance=variance_explained(before, found.batch)),
        run.get_results(clean_names=False).loc["e"],
    )


@pytest.mark.parametrize("metric", list(BENCHMARKED))
def test_it_equals_the_benchmarker_of_scib_metrics(benchmarked: Any, metric: str) -> None:
    found, expected = benchmarked
    assert 0.01 < expected[BENCHMARKED[metric]] < 0.999
    assert value(metric, found) == pytest.approx(float(expected[BENCHMARKED[metric]]), abs=1e-6)


def test_lisi_within_types_is_that_of_scib_metrics_on_the_cells_of_each_type() -> None:
    found = cells()
    scib = load_scib()
    for label, n_batches in (("a", 3), ("b", 2), ("rare", 3)):
        own = found.label == label
        near = NearestNeighbors(n_neighbors=min(K_LISI, own.sum()), algorithm="brute")
        distances, indices = near.fit(found.embedding[own]).kneighbors(found.embedding[own])
        results = scib.nearest_neighbors.NeighborsResults
        graph = results(indices=indices, distances=distances.astype(np.float32))
        lisi = np.asarray(scib.lisi_knn(graph, found.batch[own]))
        expected = (lisi - 1) / (n_batches - 1)
        np.testing.assert_allclose(found.batch_mixing[own], expected, atol=1e-5)


def test_cilisi_pools_batches_to_the_mean_over_cells() -> None:
    found = cells()
    metric = METRICS["cilisi"]
    units = [IntegrationUnit(cells=found, own=found.batch == b) for b in ("x", "y", "z")]
    assert metric.count is not None
    n = [metric.count(unit) for unit in units]
    pooled = np.average([metric.compute(unit) for unit in units], weights=n)
    assert pooled == pytest.approx(np.nanmean(found.batch_mixing), abs=1e-12)
    assert sum(n) == N


def test_cilisi_leaves_out_labels_in_one_batch_and_small_ones_and_is_never_zero_for_them() -> None:
    found = cells()
    only = np.where(found.label == "c", "x", found.batch)
    one = replace(found, batch=only)
    assert np.isnan(one.batch_mixing[found.label == "c"]).all()
    unit = IntegrationUnit(cells=one, own=found.label == "c")
    with pytest.raises(UndefinedScoreError, match="no cell of the unit has a label with 10 cells"):
        METRICS["cilisi"].compute(unit)
    few = found.label.copy().astype("U9")
    few[np.flatnonzero(found.label == "a")[:9]] = "few"
    assert np.isnan(replace(found, label=few).batch_mixing[few == "few"]).all()


def test_apart_batches_score_zero_and_mixed_ones_near_the_ceiling() -> None:
    apart = cells(shift=40.0)
    # Not 0: the rare type has fewer cells in a batch than LISI has neighbours to weigh.
    assert value("cilisi", apart) == pytest.approx(0.0, abs=0.02)
    assert value("kbet", apart) == 0.0
    rng = np.random.default_rng(1)
    mixed = replace(cells(shift=0.0), batch=rng.choice(["x", "y", "z"], N))
    assert 0.6 < value("cilisi", mixed) < 0.9
    assert value("kbet", mixed) > 0.8


def test_kbet_of_a_type_equals_that_of_scib_metrics() -> None:
    found = cells()
    for label, near in found.within.items():
        own = found.label == label
        code = np.unique(found.batch[own], return_inverse=True)[1]
        expected, _, _ = load_scib().kbet(near.first(21), code)
        assert acceptance(near.indices[:, :21], code) == pytest.approx(float(expected), abs=1e-9)


def test_variance_explained_is_that_of_a_regression_on_batches() -> None:
    found = cells()
    values = found.embedding.astype(np.float64)
    dummies = pd.get_dummies(found.batch).to_numpy(dtype=float)
    fit = LinearRegression().fit(dummies, values).predict(dummies)
    expected = np.sum((fit - values.mean(axis=0)) ** 2) / np.sum(
        (values - values.mean(axis=0)) ** 2
    )
    assert variance_explained(found.embedding, found.batch) == pytest.approx(expected, abs=1e-12)


def test_pcr_is_one_without_batches_and_zero_where_they_explain_more_than_before() -> None:
    found = cells(shift=3.0)
    assert value("pcr_comparison", replace(found, batch_variance=1e-3)) == 0.0
    centred = found.embedding.astype(np.float64)
    for batch in np.unique(found.batch):
        centred[found.batch == batch] -= centred[found.batch == batch].mean(axis=0)
    without = replace(found, embedding=centred.astype(np.float32))
    assert value("pcr_comparison", without) == pytest.approx(1.0, abs=1e-6)


def test_the_silhouette_of_two_batches_is_that_of_scikit_learn() -> None:
    found = cells()
    own = found.label == "b"
    code = np.unique(found.batch[own], return_inverse=True)[1]
    expected = silhouette_samples(found.embedding[own], code, metric="cosine")
    np.testing.assert_allclose(batch_silhouette(found.embedding[own], code), expected, atol=1e-6)


def test_a_cell_at_the_origin_has_no_cosine() -> None:
    found = cells()
    embedding = found.embedding.copy()
    embedding[0] = 0.0
    with pytest.raises(UndefinedScoreError, match="at the origin"):
        value("bras", replace(found, embedding=embedding))


def test_purity_is_the_share_of_like_neighbours() -> None:
    found = cells()
    near = NearestNeighbors(n_neighbors=15).fit(found.embedding).kneighbors(return_distance=False)
    expected = (found.label[near] == found.label[:, None]).mean()
    assert value("knn_purity", found) == pytest.approx(expected, abs=1e-12)


def test_neighbours_besides_the_cell_itself_are_right_where_cells_coincide() -> None:
    embedding = np.repeat(np.arange(4.0), 5)[:, None].astype(np.float32)
    near = find_neighbours(embedding, 10).others(4)
    assert (np.sort(near // 5, axis=1) == np.arange(20)[:, None] // 5).all()
    assert not (near == np.arange(20)[:, None]).any()


def test_isolated_label_f1_counts_the_cells_of_the_unit_in_the_best_cluster() -> None:
    found = cells(isolated=("rare",))
    chosen = np.zeros(N, dtype=bool)
    rare = np.flatnonzero(found.label == "rare")
    chosen[rare[:-3]] = True
    chosen[np.flatnonzero(found.label == "a")[:4]] = True
    found.__dict__["best_clusters"] = {"rare": chosen}
    hits, said = len(rare) - 3, len(rare) + 1
    expected = 2 * hits / (len(rare) + said)
    assert value("isolated_label_f1", found) == pytest.approx(expected)


def test_the_best_cluster_of_a_label_is_the_best_of_all_resolutions() -> None:
    found = cells(isolated=("a", "rare"))
    for label, chosen in found.best_clusters.items():
        is_label = found.label == label
        best = max(
            2 * np.sum(is_label & (row == k)) / (is_label.sum() + np.sum(row == k))
            for row in found.clusters
            for k in np.unique(row)
        )
        f1 = 2 * np.sum(is_label & chosen) / (is_label.sum() + chosen.sum())
        assert f1 == pytest.approx(best)
        assert best > 0.5


def test_labels_with_fewer_than_five_cells_in_a_batch_do_not_count_there() -> None:
    found = cells(isolated=("rare",))
    own = np.zeros(N, dtype=bool)
    own[np.flatnonzero(found.label == "rare")[:4]] = True
    with pytest.raises(UndefinedScoreError, match="no isolated label has 5 cells"):
        METRICS["isolated_label_f1"].compute(IntegrationUnit(cells=found, own=own))


@pytest.mark.parametrize(
    "metric", sorted(m for m, v in METRICS.items() if "batch_integration" in v.tasks)
)
def test_turned_and_scaled_embeddings_score_alike(metric: str) -> None:
    """Up to the random start of k-means and the ends of LISI's search for its kernel."""
    found = cells()
    turn, _ = np.linalg.qr(np.random.default_rng(3).normal(size=(12, 12)))
    other = replace(found, embedding=(found.embedding @ turn * 1.7).astype(np.float32))
    slack = 0.02 if metric in {"nmi", "ari", "isolated_label_f1"} else 1e-3
    assert value(metric, other) == pytest.approx(value(metric, found), abs=slack)
