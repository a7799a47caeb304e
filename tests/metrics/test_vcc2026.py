"""The six metrics of the Virtual Cell Challenge 2026 against cell-eval2, on whole screens."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

from leaderboard.errors import PredictionError, UndefinedScoreError
from leaderboard.metrics import METRICS
from leaderboard.metrics._bulk import credit_share
from leaderboard.metrics._cells import build_samples, build_truths
from tests.metrics._screens import (
    DEPTH,
    Screen,
    copied_controls,
    first_cells,
    pinned_cells,
    same_cells,
    simulate,
    unit,
)

PDS, MSE = "pds_cosine", "expr_mse_unbiased_capped_norm"
FIDELITY = "de_wilcoxon_direction_fidelity_yield_raw"
REACH, JACCARD = "de_wilcoxon_direction_reach_raw", "de_wilcoxon_sig_jaccard"
NMAE = "de_wilcoxon_lfc_nmae"
SIX = (PDS, MSE, FIDELITY, REACH, JACCARD, NMAE)
ORACLE = "cell-eval2 and pdex are the oracle: pip install cell-eval2==0.20.0 pdex==0.3.0"


def values(screen: Screen, name: str) -> "pd.Series[float]":
    """Return the metric of every perturbation, NaN where it is undefined."""
    found = {}
    for perturbation, case in screen.units().items():
        try:
            found[perturbation] = METRICS[name].compute(case)
        except UndefinedScoreError:
            found[perturbation] = float("nan")
    return pd.Series(found)


SCREENS: dict[str, Callable[[], Screen]] = {
    "skilled": lambda: simulate(0),
    "good": lambda: simulate(1, skill=0.95),
    "no skill": lambda: simulate(2, skill=0.0),
    "one answer for all": lambda: same_cells(simulate(3)),
    "scatter that cancels": lambda: pinned_cells(simulate(4)),
    "control cells": lambda: copied_controls(simulate(5)),
    "few true cells": lambda: simulate(6, n_cells=8, n_controls=20),
    "scattered predictions": lambda: first_cells(simulate(7), 5),
}


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What cell-eval2 says of a screen."""

    one: dict[tuple[str, str], float]
    """By metric and perturbation."""
    mean: dict[str, float]


def ask_cell_eval(screen: Screen) -> Answer:
    """Run the packaged ``vcc2026`` preset from counts to aggregates."""
    cell_eval2: Any = pytest.importorskip("cell_eval2", reason=ORACLE)
    pytest.importorskip("pdex", reason=ORACLE)
    from anndata import AnnData

    label = screen.cells["perturbation"].replace("control", "non-targeting").to_numpy()
    var = pd.DataFrame(index=list(screen.genes))
    controls = screen.counts[np.flatnonzero(label == "non-targeting")].toarray()
    said = [*screen.predicted, *["non-targeting"] * len(controls)]

    def as_adata(values: Any, names: Any) -> AnnData:
        obs = pd.DataFrame({"target": names}, index=[f"c{i}" for i in range(len(names))])
        return AnnData(sp.csr_matrix(values, dtype=np.float64), obs=obs, var=var)

    real = as_adata(screen.counts, label)
    predicted = as_adata(np.vstack([screen.predicted_counts, controls]), said)
    config = cell_eval2.EvalConfig.from_preset("vcc2026")
    tidy = cell_eval2.compute_metrics(predicted, real, config=config)
    means = cell_eval2.aggregate_metrics(tidy, metrics=SIX)
    return Answer(
        one={(metric, name): value for name, metric, value in tidy.iter_rows()},
        mean=dict(zip(means["metric"], means["mean"], strict=True)),
    )


@pytest.fixture(scope="module", params=SCREENS, ids=lambda name: name.replace(" ", "_"))
def answered(request: pytest.FixtureRequest) -> tuple[Screen, Answer]:
    screen = SCREENS[request.param]()
    return screen, ask_cell_eval(screen)


@pytest.mark.parametrize("name", SIX)
def test_the_mean_equals_the_full_vcc2026_run(name: str, answered: tuple[Screen, Answer]) -> None:
    screen, answer = answered
    assert values(screen, name).mean() == pytest.approx(answer.mean[name], abs=1e-9, nan_ok=True)


@pytest.mark.parametrize("name", [name for name in SIX if name != MSE])
def test_every_perturbation_equals_the_full_vcc2026_run(
    name: str, answered: tuple[Screen, Answer]
) -> None:
    screen, answer = answered
    ours = values(screen, name)
    theirs = [answer.one.get((name, p), float("nan")) for p in ours.index]
    np.testing.assert_allclose(ours, theirs, atol=1e-9, equal_nan=True)


def test_error_and_effect_of_every_perturbation_equal_the_full_vcc2026_run(
    answered: tuple[Screen, Answer],
) -> None:
    screen, answer = answered
    samples = screen.samples()
    panel = next(iter(samples.values())).panel
    for name, found in (
        ("expr_mse_unbiased_capped", panel.errors),
        ("expr_distance_unbiased", panel.truth.effects),
    ):
        theirs = [answer.one[name, p] for p in samples]
        np.testing.assert_allclose(found, theirs, rtol=1e-9, atol=1e-12)


def test_the_screens_reach_every_rule_of_the_noise_credit() -> None:
    """Whole, capped by the truth's noise, and cut to what predictions vary between tests."""
    found = {}
    for name in ("skilled", "scatter that cancels", "one answer for all", "scattered predictions"):
        panel = next(iter(SCREENS[name]().samples().values())).panel
        credit = np.minimum(panel.noise, panel.truth.noise)
        share = credit_share(panel.profiles, credit, panel.truth.scored)
        found[name] = (share, bool(np.all(panel.noise > panel.truth.noise)))
    assert found["skilled"] == (1.0, False)
    assert found["scattered predictions"] == (1.0, True)
    assert 0 < found["scatter that cancels"][0] < 0.1
    assert found["one answer for all"][0] == pytest.approx(0, abs=1e-12)


@pytest.fixture(scope="module")
def screen() -> Screen:
    return simulate(0, n_perturbations=6, n_cells=40, n_genes=120, n_controls=100)


def test_panels_that_cannot_be_told_from_noise_or_apart_are_undefined(screen: Screen) -> None:
    is_control = (screen.cells["role"] == "control_truth").to_numpy()
    same = screen.counts[np.flatnonzero(is_control)][:40]
    n = int((~is_control).sum()) // 40
    quiet = replace(
        screen, counts=sp.vstack([*[same] * n, screen.counts[np.flatnonzero(is_control)]]).tocsr()
    )
    with pytest.raises(UndefinedScoreError, match="by noise only"):
        METRICS[MSE].compute(next(iter(quiet.units().values())))
    name = screen.predicted.iloc[0]
    alone = replace(
        screen,
        counts=screen.counts[np.flatnonzero(is_control | (screen.cells["perturbation"] == name))],
        cells=screen.cells[is_control | (screen.cells["perturbation"] == name)],
        predicted=screen.predicted[:40],
        predicted_counts=screen.predicted_counts[:40],
    )
    with pytest.raises(UndefinedScoreError, match="none to confuse"):
        METRICS[PDS].compute(alone.units()[name])


@pytest.mark.parametrize("name", SIX)
def test_without_cells_or_controls_there_is_no_value(name: str, screen: Screen) -> None:
    with pytest.raises(UndefinedScoreError, match="no predicted cells"):
        METRICS[name].compute(unit(None))
    tested = (screen.cells["role"] == "test").to_numpy()
    bare = replace(screen, counts=screen.counts[np.flatnonzero(tested)], cells=screen.cells[tested])
    with pytest.raises(UndefinedScoreError, match="no control_truth cells"):
        METRICS[name].compute(next(iter(bare.units().values())))


@pytest.mark.parametrize("name", SIX)
def test_values_ignore_the_order_of_cells_and_genes(name: str, screen: Screen) -> None:
    rng = np.random.default_rng(0)
    genes, rows = rng.permutation(len(screen.genes)), rng.permutation(len(screen.cells))
    answers = rng.permutation(len(screen.predicted))
    other = replace(
        screen,
        genes=tuple(screen.genes[g] for g in genes),
        counts=screen.counts[rows][:, genes],
        cells=screen.cells.iloc[rows],
        predicted_counts=screen.predicted_counts[answers][:, genes],
        predicted=screen.predicted.iloc[answers],
    )
    pd.testing.assert_series_equal(values(screen, name), values(other, name), rtol=1e-9)


@pytest.mark.parametrize("name", SIX)
def test_values_stay_in_bounds_and_the_truth_itself_scores_best(name: str, screen: Screen) -> None:
    metric = METRICS[name]
    tested = np.flatnonzero((screen.cells["role"] == "test").to_numpy())
    truth = screen.counts[tested].toarray().astype(np.float64)
    exact = replace(screen, predicted_counts=truth)
    dealt = replace(screen, predicted_counts=np.roll(screen.predicted_counts, 40, axis=0))
    sign = 1 if metric.higher_is_better else -1
    found = [values(said, name) for said in (exact, screen, dealt, copied_controls(screen))]
    assert all(value.between(*metric.bounds).all() for value in found)
    best, skilled, *wrong = [sign * value.mean() for value in found]
    assert best >= skilled > max(wrong)


def test_predicting_the_control_cells_scores_the_floor_of_profiles(screen: Screen) -> None:
    """Pasted control cells have no shift: floats that differ in the last digit do not rank."""
    is_control = (screen.cells["role"] == "control_truth").to_numpy()
    controls = screen.counts[np.flatnonzero(is_control)].toarray().astype(np.float64)
    n = screen.predicted.nunique()
    pasted = replace(
        screen,
        predicted_counts=np.tile(controls, (n, 1)),
        predicted=pd.Series(np.repeat(sorted(screen.predicted.unique()), len(controls))),
    )
    assert values(pasted, PDS).tolist() == [0.5] * n
    assert values(pasted, NMAE).dropna().tolist() == pytest.approx([1.0] * n, abs=1e-9)


def test_both_genes_of_a_combination_are_left_out(screen: Screen) -> None:
    pair = "+".join(sorted(screen.genes[:2]))
    cells = screen.cells.replace({"perturbation": {screen.predicted.iloc[0]: pair}})
    predicted = screen.predicted.replace(screen.predicted.iloc[0], pair)
    sample = replace(screen, cells=cells, predicted=predicted).samples()[pair]
    left_out = np.flatnonzero(~sample.truth.scored[sample.row])
    assert {screen.genes[g] for g in left_out} == set(pair.split("+"))
    assert sample.truth.is_target[left_out].all()


def test_cells_for_some_perturbations_only_are_refused(screen: Screen) -> None:
    truths = build_truths(
        screen.counts, screen.cells, screen.genes, factors=screen.factors, target_sum=float(DEPTH)
    )
    table = screen.table
    with pytest.raises(PredictionError, match="all or for none"):
        build_samples(table[table["perturbation"] != table["perturbation"].iloc[0]], truths)
    assert build_samples(table.iloc[:0], truths) == {}
    for wrong in (-1.0, np.nan, np.inf):
        broken = table.assign(**{screen.genes[0]: wrong})
        with pytest.raises(PredictionError, match="negative or not finite"):
            build_samples(broken, truths)


def test_stored_zeros_and_entries_in_two_parts_do_not_count(screen: Screen) -> None:
    coo = screen.counts.tocoo()
    halves = [coo.data / 2, coo.data / 2, np.zeros(len(coo.data))]
    rows = [coo.row, coo.row, coo.row]
    columns = [coo.col, coo.col, np.roll(coo.col, 1)]
    size = np.concatenate([[0], np.cumsum(np.bincount(np.concatenate(rows)))])
    order = np.argsort(np.concatenate(rows), kind="stable")
    untidy = sp.csr_matrix(
        (np.concatenate(halves)[order], np.concatenate(columns)[order], size),
        shape=screen.counts.shape,
    )
    assert untidy.nnz > 2 * screen.counts.nnz
    for name in SIX:
        other = values(replace(screen, counts=untidy), name)
        pd.testing.assert_series_equal(values(screen, name), other, rtol=1e-9)


def test_contexts_are_panels_of_their_own(screen: Screen) -> None:
    cells = pd.concat([screen.cells, screen.cells.assign(context="other")])
    counts = sp.vstack([screen.counts, screen.counts]).tocsr()
    table = pd.concat([screen.table.assign(context="other"), screen.table])
    factors = np.concatenate([screen.factors] * 2)
    truths = build_truths(counts, cells, screen.genes, factors=factors, target_sum=float(DEPTH))
    samples = build_samples(table, truths)
    expected = values(screen, MSE)
    for (perturbation, _), sample in samples.items():
        assert METRICS[MSE].compute(unit(sample)) == pytest.approx(expected[perturbation])
