"""What ranks nothing, and says why."""

from dataclasses import replace
from typing import Any

import pandas as pd
import pytest

from leaderboard.inference.evidence import BoardEvidence, EntryFacts
from leaderboard.inference.standings import build_standings
from tests.inference._boards import (
    GROUPED,
    RANDOM,
    SCREEN,
    around,
    cells_of,
    constants,
    evidence,
    facts_of,
    score_rows,
    usual,
)


def assert_ranks_nothing(standings: dict[str, Any], reason: str) -> None:
    assert standings["ranked"] is False
    assert any(reason in r for r in standings["reasons"]), standings["reasons"]
    for cell in cells_of(standings).values():
        assert (cell["rank_low"], cell["rank_high"]) == (None, None)
        assert cell["verdict"] == "not judged"
        assert cell["value"] is not None


def test_an_untrusted_metric_ranks_nothing_and_says_why() -> None:
    item = evidence(usual(), frozen={"trusted": False, "reason": "a replicate loses"})
    standings = build_standings(item, None)
    assert_ranks_nothing(standings, "Macro F1: a replicate loses")
    assert standings["metrics"]["macro_f1"]["ranks"] is False


def test_a_baseline_at_the_ceiling_saturates_the_board() -> None:
    values = usual() | {"nearest-centroid": [1.0] * 8}
    standings = build_standings(evidence(values), None)
    assert_ranks_nothing(standings, "saturated: nearest-centroid")
    assert standings["metrics"]["macro_f1"]["saturated"] is True


def test_a_model_at_the_ceiling_does_not_saturate_the_board() -> None:
    standings = build_standings(evidence(usual() | {"above": [1.0] * 8}), None)
    assert standings["ranked"] is True


def test_a_random_board_ranks_nothing() -> None:
    standings = build_standings(evidence(usual(), board=RANDOM), None)
    assert_ranks_nothing(standings, "cells, not groups, were held out")


def test_a_board_on_which_the_audit_found_an_error_ranks_nothing() -> None:
    finding = {"check": "groups", "severity": "error", "board": GROUPED.id}
    standings = build_standings(evidence(usual(), findings=[finding]), None)
    assert_ranks_nothing(standings, "the audit found errors: groups")
    assert standings["findings"] == [finding]


def test_a_warning_of_the_audit_is_shown_and_unranks_nothing() -> None:
    findings = [
        {"check": "roles", "severity": "ok"},
        {"check": "library", "severity": "warning"},
    ]
    standings = build_standings(evidence(usual(), findings=findings), None)
    assert standings["ranked"] is True
    assert standings["findings"] == [findings[1]]
    assert standings["n_checks"] == 2


def test_a_metric_that_is_not_ranked_is_shown_without_ranks() -> None:
    item = evidence(usual())
    both = pd.concat([item.scores, score_rows(GROUPED, "accuracy", usual())])
    frozen = {"metrics": {**item.constants["metrics"], "accuracy": constants()}}
    item = BoardEvidence(**{**vars(item), "scores": both, "constants": frozen})
    standings = build_standings(item, None)
    assert list(standings["metrics"]) == ["macro_f1", "accuracy"]
    assert standings["metrics"]["accuracy"]["reason"] == "shown, not ranked"
    for cell in cells_of(standings, "accuracy").values():
        assert cell["rank_low"] is None
        assert cell["verdict"] == "not judged"


def test_a_metric_whose_ceiling_is_not_above_the_floor_has_no_scaled_value() -> None:
    item = evidence(usual(), frozen={"ceiling": 0.2, "ceiling_low": 2.0, "ceiling_high": 2.0})
    assert all(c["scaled"] is None for c in cells_of(build_standings(item, None)).values())


def test_a_scaled_value_is_never_clipped() -> None:
    values = usual() | {"poor": [0.1] * 8, "model": [1.2] * 8}
    cells = cells_of(build_standings(evidence(values), None))
    assert cells["poor"]["scaled"] == pytest.approx(-0.125)
    assert cells["model"]["scaled"] == pytest.approx(1.25)


def test_a_self_reported_entry_has_no_rank_and_no_verdict() -> None:
    item = evidence(usual())
    entries = dict(item.entries)
    own = vars(entries["above"]) | {"verification": "self-reported"}
    entries["above"] = EntryFacts(**own)
    cells = cells_of(build_standings(BoardEvidence(**{**vars(item), "entries": entries}), None))
    assert (cells["above"]["rank_low"], cells["above"]["verdict"]) == (None, "not judged")
    assert (cells["level"]["rank_low"], cells["level"]["rank_high"]) == (1, 2)


def test_a_board_that_is_declared_unranked_says_so_and_ranks_nothing() -> None:
    declared = replace(GROUPED, unranked="declared negative control: no effect is expected")
    standings = build_standings(evidence(usual(), board=declared), None)
    assert_ranks_nothing(standings, "declared negative control")
    assert standings["reasons"] == ["declared negative control: no effect is expected"]


def test_a_random_board_needs_no_further_reason() -> None:
    item = evidence(usual(), board=RANDOM, frozen={"trusted": False, "reason": "no scale"})
    assert len(build_standings(item, None)["reasons"]) == 1


def test_reasons_add_up() -> None:
    declared = replace(GROUPED, unranked="too few units")
    finding = {"check": "groups", "severity": "error"}
    frozen = {"trusted": False, "reason": "a replicate loses"}
    item = evidence(usual(), board=declared, findings=[finding], frozen=frozen)
    reasons = build_standings(item, None)["reasons"]
    assert [r.split(":")[0] for r in reasons] == [
        "too few units", "the audit found errors", "Macro F1",
    ]  # fmt: skip


def test_a_metric_that_does_not_rank_has_no_verdict_no_rank_and_no_differences() -> None:
    """``accuracy`` ranks nowhere; ``macro_f1`` of the same board does."""
    item = evidence(usual())
    both = pd.concat([item.scores, score_rows(GROUPED, "accuracy", usual())])
    frozen = {"metrics": {**item.constants["metrics"], "accuracy": constants()}}
    standings = build_standings(replace(item, scores=both, constants=frozen), None)
    assert standings["ranked"] is True
    for name in usual():
        shown = cells_of(standings, "accuracy")[name]
        assert (shown["verdict"], shown["rank_low"], shown["rank_high"]) == (
            "not judged", None, None,
        )  # fmt: skip
        assert shown["differences"] == []
        assert cells_of(standings)[name]["differences"]


def test_one_trusted_metric_is_enough_and_an_untrusted_one_beside_it_stays_blank() -> None:
    rows = [score_rows(SCREEN, m, {"control-mean": [0.5] * 8, "model": around(0.8, 1)})
            for m in ("pds", "pearson_delta")]  # fmt: skip
    frozen = {
        "metrics": {
            "pds": constants(floor=0.5, trusted=False, reason="a replicate loses"),
            "pearson_delta": constants(floor=0.0),
        },
        "responders": [f"u{k}" for k in range(8)],
    }
    item = BoardEvidence(
        board=SCREEN, suite="known_truth", release="test", source="recomputed",
        scores=pd.concat(rows), constants=frozen,
        entries=facts_of(["control-mean", "model"], control_mean="baseline"),
    )  # fmt: skip
    standings = build_standings(item, None)
    assert (standings["ranked"], standings["sorted_by"]) == (True, "pearson_delta")
    assert cells_of(standings, "pds")["model"]["verdict"] == "not judged"
    assert cells_of(standings, "pds")["model"]["rank_low"] is None
    assert cells_of(standings, "pearson_delta")["model"]["verdict"] == "yes"
