"""What a board says of its entries: values, ranks, verdicts and differences."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from leaderboard.inference._paired import estimate
from leaderboard.inference._ranks import rank_sets
from leaderboard.inference.evidence import BoardEvidence
from leaderboard.inference.standings import build_standings
from leaderboard.io import write_json
from tests.inference._boards import (
    BASELINES,
    RANDOM,
    around,
    cells_of,
    constants,
    evidence,
    screen_evidence,
    usual,
)


def test_a_board_says_yes_no_and_cannot_tell_of_models_and_judges_no_baseline() -> None:
    cells = cells_of(build_standings(evidence(usual()), None))
    assert {name: cell["verdict"] for name, cell in cells.items()} == {
        "above": "yes", "below": "no", "level": "cannot tell",
        **dict.fromkeys(BASELINES, "not judged"),
    }  # fmt: skip


def test_a_yes_needs_a_lead_over_every_declared_baseline() -> None:
    values = usual() | {"nearest-centroid": around(0.9, 3)}
    cells = cells_of(build_standings(evidence(values), None))
    assert cells["above"]["verdict"] == "no"


def test_verdicts_are_corrected_over_the_judged_entries() -> None:
    """A lead that stands alone at 5 % does not stand among nine others without one."""
    base = around(0.5, 1)
    lead_alone = [v + 0.025 + d for v, d in zip(base, around(0.0, 2, sd=0.025), strict=True)]
    p = stats.ttest_rel(lead_alone, base, alternative="greater").pvalue
    assert 0.005 < p < 0.05
    values: dict[str, Any] = {"majority": base, "model": lead_alone}
    assert cells_of(build_standings(evidence(values), None))["model"]["verdict"] == "yes"
    values |= {f"other{i}": around(0.5, 10 + i, sd=0.05) for i in range(9)}
    crowded = cells_of(build_standings(evidence(values), None))
    assert crowded["model"]["verdict"] == "cannot tell"


def test_rows_are_sorted_best_first_and_carry_their_numbers() -> None:
    values = usual()
    standings = build_standings(evidence(values), None)
    assert standings["ranked"] is True
    assert standings["reasons"] == []
    assert standings["sorted_by"] == "macro_f1"
    means = {name: float(np.mean(row)) for name, row in values.items()}
    assert [r["entry"] for r in standings["rows"]] == sorted(means, key=lambda n: -means[n])
    for name, cell in cells_of(standings).items():
        expected = estimate(np.array(values[name]))
        assert cell["value"] == pytest.approx(means[name])
        assert (cell["low"], cell["high"]) == pytest.approx((expected.low, expected.high))
        assert cell["scaled"] == pytest.approx((means[name] - 0.2) / 0.8)
        assert (cell["n"], cell["coverage"]) == (8, 1.0)
        assert cell["units"] == pytest.approx({f"u{i}": v for i, v in enumerate(values[name])})


def test_differences_are_paired_with_every_other_declared_baseline() -> None:
    values = usual()
    cells = cells_of(build_standings(evidence(values), None))
    found = {d["baseline"]: d for d in cells["above"]["differences"]}
    assert set(found) == set(BASELINES)
    for name, d in found.items():
        test = stats.ttest_rel(values["above"], values[name], alternative="greater")
        assert d["p_better"] == pytest.approx(test.pvalue)
        assert d["mean"] == pytest.approx(np.mean(values["above"]) - np.mean(values[name]))
    assert {d["baseline"] for d in cells["majority"]["differences"]} == set(BASELINES) - {
        "majority"
    }


def test_the_board_ranks_baselines_and_models_together() -> None:
    values = usual()
    cells = cells_of(build_standings(evidence(values), None))
    expected = rank_sets({k: np.array(v) for k, v in values.items()}, higher_is_better=True)
    assert {n: (c["rank_low"], c["rank_high"]) for n, c in cells.items()} == expected
    assert expected["above"] == (1, 1)


def test_controls_have_a_value_but_no_rank_no_verdict_and_no_place_in_the_family() -> None:
    without = cells_of(build_standings(evidence(usual()), None))
    values = usual() | {"oracle": around(1.0, 8), "shuffled": around(0.2, 9)}
    item = evidence(values, oracle="control", shuffled="control")
    cells = cells_of(build_standings(item, None))
    for name in ("oracle", "shuffled"):
        assert cells[name]["value"] == pytest.approx(np.mean(values[name]))
        assert (cells[name]["rank_low"], cells[name]["verdict"]) == (None, "not judged")
    for name in usual():
        assert cells[name]["rank_high"] == without[name]["rank_high"]


@pytest.mark.parametrize("n", [1, 2])
def test_with_fewer_than_three_units_there_are_points_only(n: int) -> None:
    standings = build_standings(evidence(usual(n)), None)
    assert standings["policy"] == f"points only, no interval: {n} unit(s)"
    for cell in cells_of(standings).values():
        assert cell["value"] is not None
        assert (cell["low"], cell["high"]) == (None, None)
        assert (cell["rank_low"], cell["rank_high"]) == (None, None)
        assert cell["verdict"] == "not judged"
        assert all(d["p_better"] is None for d in cell["differences"])


def test_inflation_is_random_minus_grouped_paired_by_unit() -> None:
    grouped = usual()
    dealt = {name: [v + 0.1 + 0.01 * i for i, v in enumerate(row)] for name, row in grouped.items()}
    del dealt["below"]
    standings = build_standings(evidence(grouped), evidence(dealt, board=RANDOM))
    cells = cells_of(standings)
    gap = 0.1 + 0.01 * np.arange(8)
    expected = estimate(gap)
    assert cells["above"]["inflation"] == pytest.approx(
        {"mean": expected.mean, "low": expected.low, "high": expected.high, "n": 8}
    )
    assert "inflation" not in cells["below"]


def test_a_board_with_one_entry_has_a_standing() -> None:
    standings = build_standings(evidence({"model": around(0.8, 4)}), None)
    cell = cells_of(standings)["model"]
    assert (cell["rank_low"], cell["rank_high"], cell["verdict"]) == (1, 1, "not judged")


@pytest.mark.parametrize("responders", [[], ["u0", "u1", "u2"]])
def test_what_has_one_value_a_board_is_shown_whoever_responds(responders: list[str]) -> None:
    """The gate sorts perturbations; the unit of all of them is none that it could leave out."""
    name = "uncertainty_over_perturbations"
    item = screen_evidence(responders)
    whole = item.scores[item.scores["unit"] == "u0"].assign(metric=name, unit="all", value=0.4)
    frozen = {"pds": item.constants["metrics"]["pds"], name: constants(trusted=False, reason="no")}
    standings = build_standings(
        BoardEvidence(
            **{
                **vars(item),
                "scores": pd.concat([item.scores, whole]),
                "constants": {**item.constants, "metrics": frozen},
            }
        ),
        None,
    )
    assert standings["metrics"][name]["units"] == ["all"]
    assert standings["metrics"]["pds"]["units"] == responders
    for cell in cells_of(standings, name).values():
        assert (cell["value"], cell["n"], cell["coverage"]) == (pytest.approx(0.4), 1, 1.0)
        assert (cell["low"], cell["high"], cell["rank_low"]) == (None, None, None)
    for cell in cells_of(standings, "pds").values():
        assert set(cell.get("units", {})) == set(responders)


def test_standings_are_plain_values_that_can_be_written(tmp_path: Any) -> None:
    values: dict[str, Any] = usual() | {"crashed": "ValueError: no", "silent": [None] * 8}
    item = evidence(values)
    write_json(tmp_path / "s.json", build_standings(item, evidence(usual(), board=RANDOM)))
    assert (tmp_path / "s.json").stat().st_size > 0


def test_the_order_of_score_rows_does_not_move_a_standing() -> None:
    item = evidence(usual())
    shuffled = item.scores.sample(frac=1, random_state=0)
    other = BoardEvidence(**{**vars(item), "scores": shuffled})
    assert build_standings(other, None) == build_standings(item, None)
