"""Strata: who is in which, and the means that are reported beside the board's."""

from typing import Any

import numpy as np
import pytest

from leaderboard.audit._similarity import novelty_bin
from leaderboard.inference.evidence import BoardEvidence
from leaderboard.inference.standings import build_standings
from leaderboard.inference.strata import sizes, strata_of, stratum_means
from tests.inference._boards import SCREEN, around, cells_of, constants, facts_of, score_rows

FROZEN: dict[str, Any] = {
    "responders": ["a", "b", "c"],
    "weak": ["d"],
    "noise": ["e"],
    "novelty": {"0": {"a": 0.1, "b": 0.3, "d": 0.1}, "1": {"c": 0.9, "a": 0.6, "e": 1.2}},
    "strata": {"combo_seen1": {"0": ["a", "d"]}, "combo_seen0": {"1": ["c"]}},
}


@pytest.mark.parametrize(
    ("distance", "name"),
    [
        (-0.1, "near"), (0.249, "near"), (0.25, "middle"), (0.499, "middle"), (0.5, "far"),
        (2.0, "far"),
    ],
)  # fmt: skip
def test_bins_of_novelty_have_their_lower_edge(distance: float, name: str) -> None:
    assert novelty_bin(distance) == f"novelty_{name}"


def test_strata_hold_units_that_rank_and_the_others_have_strata_of_their_own() -> None:
    assert strata_of(FROZEN) == {
        "combo_seen0": {(1, "c")},
        "combo_seen1": {(0, "a")},
        "novelty_far": {(1, "a"), (1, "c")},
        "novelty_middle": {(0, "b")},
        "novelty_near": {(0, "a")},
        "noise": {(1, "e")},
        "weak": {(0, "d")},
    }
    assert sizes(strata_of(FROZEN))["novelty_far"] == 2


def test_every_ranking_place_is_in_one_bin_of_novelty() -> None:
    strata = strata_of(FROZEN)
    binned = [place for name, s in strata.items() if name.startswith("novelty") for place in s]
    assert sorted(binned) == [(0, "a"), (0, "b"), (1, "a"), (1, "c")]


def test_a_board_without_a_gate_keeps_all_units_of_its_labels() -> None:
    labels = {"combo_seen1": {"0": ["a", "d"]}}
    assert strata_of({"strata": labels}) == {"combo_seen1": {(0, "a"), (0, "d")}}
    assert strata_of({}) == {}


def standings(seeds: tuple[int, ...] = (0,)) -> tuple[dict[str, Any], dict[str, list[float]]]:
    values = {"control-mean": around(0.5, 1), "model": around(0.8, 2)}
    frozen = {
        "metrics": {"pds": constants(floor=0.5)},
        "responders": ["u0", "u1", "u2", "u3", "u4"],
        "weak": ["u5", "u6"],
        "noise": ["u7"],
        "novelty": {str(k): {f"u{k}": 0.1 * k} for k in range(8)},
    }
    item = BoardEvidence(
        board=SCREEN, suite="known_truth", release="test", source="recomputed",
        scores=score_rows(SCREEN, "pds", values, seeds), constants=frozen,
        entries=facts_of(values, control_mean="baseline"),
    )  # fmt: skip
    return build_standings(item, None), values


@pytest.mark.parametrize("seeds", [(0,), (0, 1, 2)])
def test_the_board_reports_the_mean_of_every_stratum(seeds: tuple[int, ...]) -> None:
    found, values = standings(seeds)
    wanted = {"novelty_near": [0, 1, 2], "novelty_middle": [3, 4], "weak": [5, 6], "noise": [7]}
    assert found["strata"] == {name: len(units) for name, units in sorted(wanted.items())}
    for entry, cell in cells_of(found, "pds").items():
        assert set(cell["strata"]) == set(wanted)
        for name, units in wanted.items():
            expected = np.mean([values[entry][u] for u in units])
            assert cell["strata"][name] == {"value": pytest.approx(expected), "n": len(units)}


def test_the_mean_of_the_board_is_that_of_its_bins_of_novelty_and_of_no_other_unit() -> None:
    cell = cells_of(standings()[0], "pds")["model"]
    bins = [cell["strata"][name] for name in ("novelty_near", "novelty_middle")]
    pooled = sum(b["value"] * b["n"] for b in bins) / sum(b["n"] for b in bins)
    assert cell["value"] == pytest.approx(pooled)


def test_undefined_units_are_left_out_of_a_stratum_and_not_counted_as_zero() -> None:
    rows = score_rows(SCREEN, "pds", {"model": [0.9, None, 0.7], "silent": [None, None, None]})
    strata = {"near": frozenset({(0, "u0"), (1, "u1")}), "far": frozenset({(1, "u1")})}
    found = stratum_means(rows, strata)
    assert found == {("model", "pds"): {"near": {"value": 0.9, "n": 1}}}
    assert stratum_means(rows, {}) == {}


def test_a_unit_in_two_folds_is_in_the_stratum_of_each_fold() -> None:
    rows = score_rows(SCREEN, "pds", {"model": [0.2, 0.6]}).assign(unit="u")
    strata = {"near": frozenset({(0, "u")}), "far": frozenset({(1, "u")})}
    assert stratum_means(rows, strata) == {
        ("model", "pds"): {"near": {"value": 0.2, "n": 1}, "far": {"value": 0.6, "n": 1}}
    }
