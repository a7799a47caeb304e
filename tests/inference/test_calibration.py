"""A fast part of ``make calibration``, and that it would notice what is wrong."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from leaderboard.inference import judge as judge_module
from tests import calibration
from tests.calibration import Measured, measure, settings
from tests.calibration_boards import FOLD_SHARE, Setting, folds_of, simulate


@pytest.mark.parametrize("dependence", calibration.DEPENDENCE)
@pytest.mark.parametrize(("n_units", "shape"), [(4, "normal"), (8, "heavy"), (30, "heavy")])
def test_intervals_rank_sets_and_verdicts_hold_their_level(
    dependence: str, n_units: int, shape: str
) -> None:
    found = measure(Setting(n_units=n_units, shape=shape, dependence=dependence), 250)
    assert found.missed == []
    assert found.mean["apart"] > 0


def test_units_that_are_counted_four_times_are_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if four cells of a donor were four donors."""

    def repeated(values: Any, *args: Any, **kwargs: Any) -> Any:
        four = {name: np.repeat(row, 4) for name, row in values.items()}
        return judge_module.judge(four, *args, **kwargs)

    monkeypatch.setattr(calibration, "judge", repeated)
    found = measure(Setting(n_units=6, shape="normal", dependence="training"), 100)
    assert found.missed == ["paired", "ranks", "tied", "false yes"]


def test_a_verdict_against_the_strongest_baseline_alone_is_noticed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Without Holm over the judged entries, one of many is taken for better."""
    monkeypatch.setattr(judge_module, "holm", dict)
    found = measure(Setting(n_units=12, shape="normal", dependence="training"), 150)
    assert found.missed == ["false yes"]


@pytest.mark.parametrize("dependence", calibration.DEPENDENCE)
@pytest.mark.parametrize("shape", calibration.SHAPES)
def test_simulated_boards_have_the_true_means_that_they_state(dependence: str, shape: str) -> None:
    """Over many units an entry's mean, its target's deviation taken off, is near the target."""
    setting = Setting(n_units=20_000, shape=shape, dependence=dependence)
    rng = np.random.default_rng(0)
    for _ in range(3):
        board = simulate(rng, setting)
        lead = board.scores - board.scores[0]
        truth = board.truth - board.truth[0]
        assert lead.mean(axis=1) == pytest.approx(truth, abs=0.06)


def test_boards_hold_ties_five_to_fifteen_entries_and_shared_folds() -> None:
    rng = np.random.default_rng(1)
    setting = Setting(n_units=100, shape="normal", dependence="effects")
    boards = [simulate(rng, setting) for _ in range(60)]
    sizes = {len(b.truth) for b in boards}
    assert (min(sizes), max(sizes)) == (5, 15)
    assert sum(len(set(b.truth)) < len(b.truth) for b in boards) > 50
    between, within = [], []
    for board in boards:
        lead = board.scores[0] - board.scores[1]
        means = np.array([lead[folds_of(100) == k].mean() for k in range(5)])
        between.append(means.var(ddof=1))
        within.append(np.mean([lead[folds_of(100) == k].var(ddof=1) for k in range(5)]))
    share = np.mean(between) - np.mean(within) / 20
    assert share / (share + np.mean(within)) == pytest.approx(FOLD_SHARE, abs=0.08)


def test_up_to_eight_units_each_is_a_fold_and_beyond_there_are_five() -> None:
    assert folds_of(8).tolist() == list(range(8))
    assert np.bincount(folds_of(12)).tolist() == [3, 3, 2, 2, 2]


def test_the_table_covers_what_it_must() -> None:
    rows = list(settings())
    assert len(rows) == 36
    assert {r.n_units for r in rows} == {4, 6, 8, 12, 30, 100}
    assert calibration.N_BOARDS >= 2000


def measured(**changes: float) -> Measured:
    mean = {"paired": 0.95, "ranks": 0.96, "tied": 0.96, "false yes": 0.04}
    setting = Setting(n_units=8, shape="normal", dependence="effects")
    return Measured(setting=setting, mean=mean | changes, paired_error=0.002, n=2000)


@pytest.mark.parametrize(
    ("name", "just_met", "missed"),
    [
        ("paired", 0.9265, 0.9255), ("ranks", 0.9405, 0.9400),
        ("tied", 0.9405, 0.9400), ("false yes", 0.0595, 0.0600),
    ],
)  # fmt: skip
def test_a_criterion_is_met_within_two_standard_errors(
    name: str, just_met: float, missed: float
) -> None:
    assert measured(**{name: just_met}).missed == []
    found = measured(**{name: missed})
    assert found.missed == [name]
    assert replace(found, setting=replace(found.setting, shape="lognormal")).missed == []


@pytest.mark.parametrize(("error", "code"), [(0.02, 0), (0.3, 1)])
def test_the_table_ends_in_an_error_if_a_criterion_is_missed(
    error: float, code: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    full = {"raw": 0.9, "new folds": 0.9, "apart": 0.1, "false yes": error}

    class Pool:
        def __init__(self, _: int) -> None: ...
        def __enter__(self) -> "Pool":
            return self

        def __exit__(self, *_: object) -> None: ...
        def map(self, _: object, rows: list[Setting], *__: object) -> list[Measured]:
            return [replace(measured(**full), setting=rows[0])]

    monkeypatch.setattr(calibration, "ProcessPoolExecutor", Pool)
    assert calibration.main(2000) == code
    assert ("*" in capsys.readouterr().out) == bool(code)
