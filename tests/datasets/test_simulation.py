"""The simulators keep the law they declare, and the truth they write is the truth."""

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from scipy import stats

from leaderboard.datasets import SOURCES
from leaderboard.datasets._simulation import (
    CountLaw,
    NetworkLaw,
    draw_counts,
    draw_genes,
    draw_network,
    expected_log_profiles,
    propagate,
    shares,
)
from leaderboard.errors import ConfigError

LAW = {"library_sigma": 0.35, "dispersion_floor": 0.15, "dispersion_slope": 0.05}
SCREEN: dict[str, Any] = (
    LAW
    | {"seed": 3, "genes": 60, "regulators": 12, "modules": 3, "library_median": 600}
    | {"singles": 8, "doubles": 10, "cells_per_condition": 6, "control_cells": 40}
    | {"clamp_log_fold": 2.0, "silent_fraction": 0.25, "weak_fraction": 0.25}
    | {"epistasis_fraction": 0.4, "epistasis_magnitude": 0.5, "donor_sd": 0.2, "batch_sd": 0.15}
)
ATLAS: dict[str, Any] = (
    LAW
    | {"seed": 4, "genes": 90, "regulators": 12, "modules": 3, "library_median": 600}
    | {"cells": 6000, "proteins": 5, "donors": 12, "batches": 4, "rare_fraction": 0.0035}
    | {"branch_sd": 0.8, "sibling_sd": 0.32, "state_sd": 0.12, "donor_sd": 0.2, "batch_sd": 0.2}
    | {"protein_noise": 0.4}
)
SMALL = {"sim_screen": SCREEN, "sim_atlas": ATLAS}


def simulate(name: str, folder: Path, **changes: Any) -> AnnData:
    source = SOURCES[name]
    assert source.simulate is not None
    source.simulate(folder, {**SMALL[name], **changes})
    return source.read(folder)


def true_profiles(folder: Path, context: str, target_sum: float) -> pd.DataFrame:
    source = SOURCES["sim_screen"]
    assert source.true_profiles is not None
    return source.true_profiles(folder, context, target_sum).set_index(["perturbation", "context"])


@pytest.fixture(scope="module")
def screen(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, AnnData]:
    folder = tmp_path_factory.mktemp("screen")
    return folder, simulate("sim_screen", folder)


@pytest.fixture(scope="module")
def atlas(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, AnnData]:
    folder = tmp_path_factory.mktemp("atlas")
    return folder, simulate("sim_atlas", folder)


def digests(folder: Path) -> dict[str, str]:
    return {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in sorted(folder.iterdir())}


@pytest.mark.parametrize("name", SMALL)
def test_the_same_parameters_give_the_same_bytes(name: str, tmp_path: Path) -> None:
    folders = [tmp_path / "first", tmp_path / "second"]
    for folder in folders:
        folder.mkdir()
        simulate(name, folder)
    first, second = map(digests, folders)
    assert first == second
    truth = {"network.parquet", "gene.parquet", "states.parquet", "effects.parquet"}
    assert set(first) == {"counts.h5ad", "simulation.json"} | truth


@pytest.mark.parametrize("name", SMALL)
def test_another_seed_gives_other_counts(name: str, tmp_path: Path) -> None:
    counts = [simulate(name, tmp_path, seed=seed).X.sum() for seed in (0, 1)]
    assert counts[0] != counts[1]


@pytest.mark.parametrize("name", SMALL)
@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"colour": 1}, "unknown parameter 'colour'"),
        ({"seed": None}, "seed is None, not a number of type int"),
        ({"genes": 60.5}, "genes is 60.5"),
        ({"donor_sd": True}, "donor_sd is True"),
        ({"modules": 500}, "500 modules need as many regulators"),
    ],
)
def test_a_parameter_that_is_unknown_or_no_number_is_refused(
    name: str, changes: dict[str, Any], message: str, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match=message):
        simulate(name, tmp_path, **changes)


@pytest.mark.parametrize("name", SMALL)
def test_a_missing_parameter_is_refused(name: str, tmp_path: Path) -> None:
    fewer = {key: value for key, value in SMALL[name].items() if key != "batch_sd"}
    source = SOURCES[name]
    assert source.simulate is not None
    with pytest.raises(ConfigError, match="missing parameter 'batch_sd'"):
        source.simulate(tmp_path, fewer)
    assert not list(tmp_path.iterdir())


def test_counts_follow_the_negative_binomial_they_declare() -> None:
    rng = np.random.default_rng(0)
    law = CountLaw(library_median=500, **{**LAW, "library_sigma": 0.0})
    share = shares(rng.normal(0.0, 1.5, (1, 20)))
    dispersion = rng.uniform(0.1, 2.0, 20)
    n = 20_000
    state = np.zeros(n, dtype=int)
    counts = draw_counts(rng, law, np.ones(n), state, share, dispersion).toarray()
    p_values = []
    for k, mean, alpha in zip(counts.T, 500.0 * share[0], dispersion, strict=True):
        declared = stats.nbinom(1.0 / alpha, 1.0 / (1.0 + alpha * mean))
        edges = np.unique(declared.ppf(np.linspace(0.0, 1.0, 12)[1:-1]))
        mass = np.diff(np.concatenate([[0.0], declared.cdf(edges), [1.0]]))
        observed = np.bincount(np.searchsorted(edges, k), minlength=len(mass))
        p_values.append(stats.chisquare(observed, n * mass).pvalue)
    assert min(p_values) > 1e-3 / len(p_values)
    assert stats.kstest(p_values, "uniform").pvalue > 1e-3


def test_library_sizes_are_lognormal_around_the_depth_of_their_batch() -> None:
    law = CountLaw(library_median=2000, **LAW)
    depth = np.repeat([1.0, 0.5], 5000)
    share, dispersion = np.full((1, 400), 1 / 400), np.full(400, 1e-6)
    state = np.zeros(len(depth), dtype=int)
    rng = np.random.default_rng(1)
    totals = draw_counts(rng, law, depth, state, share, dispersion).sum(axis=1)
    log_total = np.log(np.asarray(totals).ravel() / depth)
    assert stats.ttest_ind(log_total[:5000], log_total[5000:]).pvalue > 1e-3
    assert np.median(log_total) == pytest.approx(np.log(2000), abs=0.02)
    # Poisson noise of a library of 1,000 adds 0.03 in quadrature.
    assert log_total.std() == pytest.approx(0.35, abs=0.01)


def test_dispersion_falls_with_the_mean_along_the_declared_trend() -> None:
    law = CountLaw(library_median=1000, **LAW)
    genes = draw_genes(np.random.default_rng(0), 5000, law)
    trend = law.dispersion_floor + law.dispersion_slope / (1000 * genes["base_share"])
    scatter = np.log(genes["dispersion"] / trend)
    assert scatter.mean() == pytest.approx(0.0, abs=4 * 0.2 / np.sqrt(5000))
    assert scatter.std() == pytest.approx(0.2, rel=0.05)
    assert genes["base_share"].sum() == pytest.approx(1.0)


def test_true_profiles_are_the_mean_of_many_cells(tmp_path: Path) -> None:
    adata = simulate("sim_screen", tmp_path, control_cells=20_000, cells_per_condition=1)
    expected = true_profiles(tmp_path, "cell_type", 500.0)
    counts = adata.X.toarray().astype(float)
    profiles = np.log1p(counts / counts.sum(axis=1, keepdims=True) * 500.0)
    z, gap = [], []
    for context in ("lineage_A", "lineage_B", "lineage_C"):
        of = (adata.obs["cell_type"] == context) & (adata.obs["perturbation"] == "control")
        cells = profiles[of.to_numpy()]
        gap.append(cells.mean(axis=0) - expected.loc[("control", context)])
        z.append(gap[-1] / (cells.std(axis=0) / np.sqrt(len(cells))))
    assert np.mean(np.abs(z) < 4.0) >= 0.99
    assert np.std(z) == pytest.approx(1.0, abs=0.2)
    assert abs(np.mean(gap)) < 1e-3
    # The tests above must have met genes far beyond the Poisson regime.
    highest = np.argmax(counts.mean(axis=0))
    assert counts[:, highest].mean() > 50
    assert max(abs(row.iloc[highest]) for row in z) < 4.0


def test_the_quadrature_agrees_with_a_sum_over_all_counts() -> None:
    # Two genes and a narrow library: the expectation is a double sum over both counts.
    law = CountLaw(library_median=80, **{**LAW, "library_sigma": 0.1})
    share, dispersion = np.array([[0.3, 0.7]]), np.array([0.4, 0.2])
    nodes, weights = np.polynomial.hermite_e.hermegauss(15)
    k = np.arange(600)
    ratio = np.log1p(100.0 * k[:, None] / np.maximum(k[:, None] + k, 1))
    expected = 0.0
    for node, weight in zip(nodes, weights / weights.sum(), strict=True):
        mean = 80 * np.exp(0.1 * node) * share[0]
        declared = stats.nbinom(1 / dispersion, 1 / (1 + dispersion * mean))
        pmf = np.asarray(declared.pmf(k[:, None]))
        expected += weight * (pmf[:, 0] @ ratio @ pmf[:, 1])
    found = expected_log_profiles(share, dispersion, law, depth=1.0, target_sum=100.0)
    assert found[0, 0] == pytest.approx(expected, abs=1e-5)


def test_true_profiles_average_to_the_same_over_every_context(
    screen: tuple[Path, AnnData],
) -> None:
    folder, adata = screen
    tables = [true_profiles(folder, c, 500.0) for c in ("cell_type", "donor_id", "batch")]
    n_conditions = adata.obs["perturbation"].nunique()
    assert [len(t) for t in tables] == [n_conditions * n for n in (3, 4, 2)]
    means = [t.groupby(level="perturbation").mean() for t in tables]
    pd.testing.assert_frame_equal(means[0], means[1])
    pd.testing.assert_frame_equal(means[0], means[2])
    assert list(tables[0].columns) == list(adata.var_names)


def test_a_context_without_truth_is_refused(screen: tuple[Path, AnnData]) -> None:
    with pytest.raises(ConfigError, match="'assay' is no context"):
        true_profiles(screen[0], "assay", 500.0)


@pytest.mark.parametrize("fold", [2.0, -2.0])
def test_targets_of_a_clamped_regulator_move_as_the_sign_of_their_edge_says(fold: float) -> None:
    law = NetworkLaw(
        regulators=20, modules=4, pool=40, targets=15, weight=0.4, mates=3, mate_weight=0.3
    )
    rng = np.random.default_rng(5)
    network = draw_network(rng, rng.normal(0.0, 1.0, 200), law)
    clamp = np.full((20, 200), np.nan)
    clamp[np.arange(20), network.regulators] = fold
    shift = propagate(network, np.zeros_like(clamp), clamp=clamp)
    direct = network.weights != 0.0
    assert np.array_equal(np.sign(shift[direct]), np.sign(fold * network.weights[direct]))
    assert np.all(shift[np.arange(20), network.regulators] == fold)


def log_changes(folder: Path) -> pd.DataFrame:
    """Log shares against the controls of the context; index ``perturbation:cell_type``."""
    states = pd.read_parquet(folder / "states.parquet").set_index(["perturbation", "cell_type"])
    changes = states.apply(np.log)
    changes -= changes.loc["control"]
    return changes.set_axis(pd.Index([":".join(key) for key in changes.index]))


def read_effects(folder: Path, query: str) -> list[dict[str, Any]]:
    rows = pd.read_parquet(folder / "effects.parquet").query(query).to_dict("records")
    return [{str(key): value for key, value in row.items()} for row in rows]


def test_pairs_are_additive_in_log_rate_up_to_their_epistasis(
    screen: tuple[Path, AnnData],
) -> None:
    changes = log_changes(screen[0])
    rows = read_effects(screen[0], "kind == 'double'")
    assert {row["epistasis"] for row in rows} == {"none", "positive", "negative"}
    for row in rows:
        names = [f"{row[key]}:{row['cell_type']}" for key in ("perturbation", "a", "b")]
        others = changes.loc[names].drop(columns=[row["a"], row["b"]])
        # Shares know a rate up to one constant of the profile.
        pair, a, b = others.sub(others.mean(axis=1), axis=0).to_numpy()
        np.testing.assert_allclose(pair, (1.0 + row["magnitude"]) * (a + b), atol=1e-5)


def test_a_silent_regulator_moves_its_own_gene_and_no_other(screen: tuple[Path, AnnData]) -> None:
    changes = log_changes(screen[0])
    rows = read_effects(screen[0], "strength == 0")
    assert len(rows) == 3 * 2
    for row in rows:
        assert row["effect_rms"] == 0.0
        change = changes.loc[f"{row['a']}:{row['cell_type']}"]
        others = change.drop(row["a"])
        assert np.ptp(others) < 1e-5
        assert change[row["a"]] > others.max() + 1.0


def test_the_network_table_names_measured_genes(screen: tuple[Path, AnnData]) -> None:
    folder, adata = screen
    network = pd.read_parquet(folder / "network.parquet")
    assert set(network["target"]) <= set(adata.var_names)
    assert set(network["weight"].map(np.sign)) == {-1.0, 1.0}
    targets = {g for p in adata.obs["perturbation"].unique() for g in p.split("+")} - {"control"}
    assert targets <= set(adata.var_names)
    assert not network.duplicated(["regulator", "target"]).any()


def test_the_screen_has_the_declared_cells(screen: tuple[Path, AnnData]) -> None:
    obs = screen[1].obs
    n_cells = obs.groupby(["perturbation", "cell_type"], observed=True).size()
    assert set(n_cells.loc["control"]) == {40}
    assert set(n_cells.drop("control")) == {6}
    doubles = [p for p in obs["perturbation"].unique() if "+" in p]
    assert len(doubles) == 10
    assert all(p == "+".join(sorted(p.split("+"))) for p in doubles)


def test_rare_types_are_rarer_than_a_two_hundredth(atlas: tuple[Path, AnnData]) -> None:
    fraction = atlas[1].obs["cell_type"].value_counts(normalize=True)
    assert set(fraction.index[fraction < 0.005]) == {"C3", "D2"}
    assert fraction.drop(["C3", "D2"]).min() > 0.02


def test_every_cell_of_the_atlas_has_a_state_whose_shares_sum_to_one(
    atlas: tuple[Path, AnnData],
) -> None:
    folder, adata = atlas
    states = pd.read_parquet(folder / "states.parquet")
    keys = ["cell_type", "donor_id", "batch", "tissue", "time", "condition"]
    np.testing.assert_allclose(states[adata.var_names].sum(axis=1), 1.0, atol=1e-9)
    assert not states.duplicated(keys).any()
    merged = adata.obs[keys].astype(str).merge(states[keys], how="left", indicator=True)
    assert (merged["_merge"] == "both").all()


def test_one_donor_bridges_two_batches_and_no_batch_is_a_condition(
    atlas: tuple[Path, AnnData],
) -> None:
    obs = atlas[1].obs
    batches = obs.groupby("donor_id", observed=True)["batch"].nunique()
    assert sorted(batches) == [1] * 11 + [2]
    assert (obs.groupby("batch", observed=True)["condition"].nunique() == 2).all()
    common = obs[~obs["cell_type"].isin(["C3", "D2"])]
    assert (common.groupby("cell_type", observed=True)["library"].nunique() == 4).all()


def test_a_protein_follows_the_expected_share_of_its_gene(atlas: tuple[Path, AnnData]) -> None:
    folder, adata = atlas
    names = list(adata.uns["protein_names"])
    assert adata.obsm["protein"].dtype == np.float32
    assert adata.obsm["protein"].shape == (6000, 5)
    states = pd.read_parquet(folder / "states.parquet")
    keys = ["cell_type", "donor_id", "batch", "tissue", "time"]
    expected = adata.obs[keys].astype(str).merge(states, on=keys, how="left")[names]
    proteins = pd.DataFrame(adata.obsm["protein"], columns=names)
    # Within a type translation is constant, so only share and noise are left.
    of_type = (adata.obs["cell_type"] == "A1").to_numpy()
    assert (proteins[of_type].corrwith(np.log1p(1e4 * expected[of_type])) > 0.1).all()


def test_the_noise_free_protein_is_a_line_in_the_log_share_of_each_type(
    atlas: tuple[Path, AnnData],
) -> None:
    """What is left of the measured one is noise of the declared spread, alike for all cells."""
    folder, adata = atlas
    names = list(adata.uns["protein_names"])
    states = pd.read_parquet(folder / "states.parquet")
    keys = ["cell_type", "donor_id", "batch", "tissue", "time"]
    expected = adata.obs[keys].astype(str).merge(states, on=keys, how="left")[names]
    mean = adata.obsm["protein_mean"].astype(np.float64)
    noise = adata.obsm["protein"] - mean
    assert noise.std(axis=0) == pytest.approx(0.4, rel=0.05)
    assert np.abs(noise.mean(axis=0)).max() < 4 * 0.4 / np.sqrt(len(noise))
    slopes = []
    for cell_type in ("A1", "B2", "C1"):
        members = (adata.obs["cell_type"] == cell_type).to_numpy()
        x = np.log1p(1e4 * expected[members].to_numpy())
        lines = [np.polyfit(a, b, 1, full=True) for a, b in zip(x.T, mean[members].T, strict=True)]
        assert max(float(line[1][0]) for line in lines) < 1e-6 * members.sum()
        slopes.append([float(line[0][0]) for line in lines])
    np.testing.assert_allclose(slopes[1:], [slopes[0]] * 2, atol=1e-3)
    assert 0.4 <= np.min(slopes) <= np.max(slopes) <= 1.0


@pytest.mark.parametrize(("name", "label"), [("atlas", "cell_type"), ("screen", "perturbation")])
def test_neither_ids_nor_row_order_nor_library_tell_the_label(
    name: str, label: str, request: pytest.FixtureRequest
) -> None:
    adata: AnnData = request.getfixturevalue(name)[1]
    ids = pd.Series(adata.obs_names)
    assert ids.is_unique
    assert ids.str.fullmatch("[ACGT]{16}-1").all()
    clues = {
        "row": np.arange(len(ids)) * 5 // len(ids),
        "id": ids.rank().to_numpy(int) * 5 // (len(ids) + 1),
        "last letter": ids.str[15].to_numpy(),
    }
    if name == "screen":
        clues["library"] = adata.obs["library"].to_numpy()
    for clue in clues.values():
        table = pd.crosstab(np.asarray(adata.obs[label]), clue)
        assert stats.chi2_contingency(table).pvalue > 1e-3
