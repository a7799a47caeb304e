"""Why a metric ranks nothing on a board: each rule by itself, on made-up re-splits."""

from typing import Any

import numpy as np
import pandas as pd
import pytest

from leaderboard.metrics import METRICS
from leaderboard.tasks._gate import MIN_RESPONDERS, N_SPLITS, _constants

PDS, NWMSE, MSE = (METRICS[name] for name in ("pds", "nwmse", "mse"))


def resplits(
    values: dict[str, float], n_units: int = 8, spread: float = 0.001, seed: int = 0
) -> pd.DataFrame:
    """``metric unit split predictor value`` around the mean of every predictor."""
    rng = np.random.default_rng(seed)
    rows = [
        ("m", f"u{unit}", split, name, mean + spread * rng.normal())
        for name, mean in values.items()
        for unit in range(n_units)
        for split in range(1 if name == "floor" else N_SPLITS)
    ]
    return pd.DataFrame(rows, columns=["metric", "unit", "split", "predictor", "value"])


GOOD = {"replicate": 0.9, "control": 0.5, "training": 0.6, "perfect": 0.95, "floor": 0.5}


def constants(table: pd.DataFrame, metric: Any = PDS) -> dict[str, Any]:
    return _constants(metric, table)


def test_a_metric_that_a_replicate_wins_is_trusted() -> None:
    found = constants(resplits(GOOD))
    assert (found["trusted"], found["reason"]) == (True, "")
    assert found["floor"] == 0.5
    assert found["ceiling"] == pytest.approx(0.95, abs=0.001)
    assert found["ceiling_low"] < found["ceiling"] < found["ceiling_high"]


def test_where_less_is_better_all_signs_turn() -> None:
    good = {name: -value for name, value in GOOD.items()}
    assert constants(resplits(good), NWMSE)["trusted"] is True
    assert constants(resplits(GOOD), NWMSE)["reason"] == "the ceiling is not above the floor"


def test_a_ceiling_below_the_floor_is_no_scale() -> None:
    found = constants(resplits(GOOD | {"perfect": 0.45}))
    assert found["reason"] == "the ceiling is not above the floor"


def test_four_responders_are_too_few() -> None:
    found = constants(resplits(GOOD, n_units=MIN_RESPONDERS - 1))
    assert found["reason"] == "4 responder(s) with a value, 5 needed"
    assert constants(resplits(GOOD, n_units=MIN_RESPONDERS))["trusted"] is True


def test_a_replicate_must_beat_the_better_of_the_simple_means_in_most_resplits() -> None:
    for simple in ("control", "training"):
        found = constants(resplits(GOOD | {simple: 0.91}))
        assert found["reason"].startswith("a replicate beats the simple means in 0% of re-splits")


@pytest.mark.parametrize(("n_losing", "is_trusted"), [(1, True), (2, False)])
def test_the_share_of_wins_is_over_units_and_resplits(n_losing: int, is_trusted: bool) -> None:
    """Of 8 units one may lose always (88 % wins); two may not (75 %)."""
    table = resplits(GOOD)
    losing = table["unit"].isin([f"u{k}" for k in range(n_losing)])
    table.loc[losing & (table["predictor"] == "replicate"), "value"] = 0.59
    found = constants(table)
    assert found["trusted"] is is_trusted
    assert is_trusted or "75% of re-splits" in found["reason"]


def test_many_narrow_wins_and_one_disaster_leave_a_gap_that_may_be_zero() -> None:
    table = resplits(GOOD | {"training": 0.88})
    lost = (table["unit"] == "u0") & (table["predictor"] == "replicate")
    table.loc[lost, "value"] = 0.2
    assert constants(table)["reason"] == (
        "the gap between replicate and simple means is not above zero"
    )


def test_a_metric_that_is_only_shown_needs_a_scale_and_no_replicate() -> None:
    shown = {"perfect": 0.01, "floor": 0.2}
    found = constants(resplits(shown, n_units=3), MSE)
    assert found["trusted"] is True
    assert found["floor"] == pytest.approx(0.2, abs=0.002)
    assert constants(resplits({"perfect": 0.3, "floor": 0.2}), MSE)["trusted"] is False


def test_a_metric_without_a_value_is_untrusted_and_its_numbers_are_numbers() -> None:
    found = constants(resplits({}))
    assert found["reason"] == "undefined for every responder"
    assert found["trusted"] is False
    assert {found[k] for k in ("floor", "ceiling", "ceiling_low", "ceiling_high")} == {0.5}


def test_simple_means_without_a_value_count_as_the_floor() -> None:
    table = resplits({k: v for k, v in GOOD.items() if k not in {"control", "training"}})
    assert constants(table)["trusted"] is True
    table.loc[table["predictor"] == "replicate", "value"] = 0.49
    assert "0% of re-splits" in constants(table)["reason"]
