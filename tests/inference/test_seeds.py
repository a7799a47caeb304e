"""Intervals over units and seeds together."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from leaderboard.inference._paired import estimate
from leaderboard.inference._seeds import over_seeds
from leaderboard.inference.evidence import BoardEvidence
from leaderboard.inference.standings import build_standings
from tests.inference._boards import around, cells_of, evidence


def table(rng: np.random.Generator, n: int, seeds: int, seed_sd: float) -> np.ndarray:
    """Donor SD 1, seed SD given, their interplay .3; the mean of the population is 0."""
    donor, seed = rng.normal(size=(n, 1)), rng.normal(scale=seed_sd, size=(1, seeds))
    found: np.ndarray = donor + seed + rng.normal(scale=0.3, size=(n, seeds))
    return found


def test_the_variance_is_that_of_the_components_of_a_two_way_analysis() -> None:
    values = table(np.random.default_rng(0), 12, 6, 0.7)
    found = over_seeds(values)
    assert found is not None
    unit, seed = (k.ravel() for k in np.indices(values.shape))
    long = pd.DataFrame({"unit": unit, "seed": seed, "y": values.ravel()})
    from statsmodels.formula.api import ols  # type: ignore[import-untyped]
    from statsmodels.stats.anova import anova_lm  # type: ignore[import-untyped]

    squares = anova_lm(ols("y ~ C(unit) + C(seed)", long).fit())
    mean_square = squares["sum_sq"] / squares["df"]
    by_unit, by_seed, rest = (mean_square[k] for k in ("C(unit)", "C(seed)", "Residual"))
    s2_unit, s2_seed = (by_unit - rest) / 6, (by_seed - rest) / 12
    variance = s2_unit / 12 + s2_seed / 6 + rest / 72
    assert (found.unit_sd, found.seed_sd) == pytest.approx((s2_unit**0.5, s2_seed**0.5))
    df = (by_unit + by_seed - rest) ** 2 / (by_unit**2 / 11 + by_seed**2 / 5 + rest**2 / 55)
    assert found.df == pytest.approx(df)
    assert found.high - found.mean == pytest.approx(stats.t.ppf(0.975, df) * variance**0.5)
    assert found.mean == pytest.approx(values.mean())


def test_seeds_that_change_nothing_leave_the_interval_over_units() -> None:
    values = np.random.default_rng(1).normal(size=9)
    found, plain = over_seeds(np.repeat(values[:, None], 5, axis=1)), estimate(values)
    assert found is not None
    assert (found.low, found.high, found.df) == pytest.approx((plain.low, plain.high, 8))
    assert (found.seed_sd, found.n_seeds) == (0.0, 5)


@pytest.mark.parametrize("shape", [(9, 4), (2, 8)])
def test_too_few_seeds_or_units_have_no_such_interval(shape: tuple[int, int]) -> None:
    assert over_seeds(np.random.default_rng(0).normal(size=shape)) is None


def test_an_incomplete_table_has_no_such_interval() -> None:
    values = np.random.default_rng(0).normal(size=(6, 6))
    values[2, 3] = np.nan
    assert over_seeds(values) is None


def test_a_table_without_any_variance_is_a_point() -> None:
    found = over_seeds(np.full((4, 5), 0.5))
    assert found is not None
    assert (found.low, found.high) == (0.5, 0.5)


def test_it_covers_where_the_interval_over_units_does_not() -> None:
    """Ten donors, five seeds, the seeds' SD .7 of the donors'."""
    rng = np.random.default_rng(2)
    n, held, held_by_units = 2000, 0, 0
    for _ in range(n):
        values = table(rng, 10, 5, 0.7)
        found, plain = over_seeds(values), estimate(values.mean(axis=1))
        assert found is not None
        assert plain.low is not None
        assert plain.high is not None
        held += found.low <= 0 <= found.high
        held_by_units += plain.low <= 0 <= plain.high
    error = 2 * np.sqrt(0.05 * 0.95 / n)
    assert held / n >= 0.93 - error
    assert held_by_units / n <= 0.90


def test_standings_hold_the_interval_over_seeds_from_five_on() -> None:
    values = {"majority": around(0.3, 1), "model": around(0.8, 4)}
    item = evidence(values, seeds=tuple(range(5)))
    scores = item.scores.copy()
    moved = scores["entry"] == "model"
    scores.loc[moved, "value"] += 0.05 * scores.loc[moved, "seed"]
    item = BoardEvidence(**{**vars(item), "scores": scores})
    cell = cells_of(build_standings(item, None))["model"]
    lead = np.subtract(values["model"], values["majority"])[:, None] + 0.05 * np.arange(5)[None, :]
    expected = over_seeds(lead)
    assert expected is not None
    assert cell["differences"][0]["over_seeds"] == pytest.approx(vars(expected))
    assert (
        expected.high - expected.low
        > cell["differences"][0]["high"] - cell["differences"][0]["low"]
    )
    assert cell["seed_sd"] == pytest.approx(0.05 * np.std(range(5), ddof=1))
    assert cell["unit_se"] == pytest.approx(stats.sem(np.add(values["model"], 0.1)))
    few = cells_of(build_standings(evidence(values, seeds=(0, 1)), None))["model"]
    assert "over_seeds" not in few["differences"][0]


def test_a_baseline_of_one_seed_stands_for_itself_beside_every_seed() -> None:
    values = {"majority": around(0.3, 1), "model": around(0.8, 4)}
    item = evidence(values, seeds=tuple(range(5)))
    scores = item.scores[(item.scores["entry"] == "model") | (item.scores["seed"] == 0)].copy()
    moved = scores["entry"] == "model"
    scores.loc[moved, "value"] += 0.05 * scores.loc[moved, "seed"]
    item = BoardEvidence(**{**vars(item), "scores": scores})
    cells = cells_of(build_standings(item, None))
    lead = np.subtract(values["model"], values["majority"])[:, None] + 0.05 * np.arange(5)[None, :]
    expected = over_seeds(lead)
    assert expected is not None
    assert cells["model"]["differences"][0]["over_seeds"] == pytest.approx(vars(expected))
    assert cells["majority"]["seed_sd"] is None
    assert cells["model"]["seed_sd"] == pytest.approx(0.05 * np.std(range(5), ddof=1))
