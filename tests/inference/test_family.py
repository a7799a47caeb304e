"""Who is ranked, by a rule that looks at no score."""

from dataclasses import replace
from typing import Any

import pytest

from leaderboard.inference.evidence import BoardEvidence, EntryFacts
from leaderboard.inference.family import MAX_FAMILY, choose_family
from leaderboard.inference.standings import build_standings
from tests.inference._boards import BASELINES, around, cells_of, evidence, facts_of, usual


def facts(kind: str = "model", **changes: Any) -> EntryFacts:
    fields = {"tier": "default", "verification": "reproduced", "weights": "none"}
    return EntryFacts(name="x", kind=kind, **{**fields, **changes})


def test_declared_baselines_come_first_then_models_then_other_baselines() -> None:
    entries = {
        "a-baseline": facts("baseline"), "declared": facts("baseline"), "model": facts(),
        "oracle": facts("control"), "claimed": facts(verification="self-reported"),
    }  # fmt: skip
    found = choose_family(entries, list(entries), ["declared"])
    assert found.members == ("declared", "model", "a-baseline")
    assert found.outside == {}


def test_at_most_fifteen_earliest_release_first_then_id() -> None:
    entries = {f"m{k:02d}": facts(release="2026.2") for k in range(20)}
    entries["m19"] = facts(release="2026.1")
    entries |= {"declared": facts("baseline", release="2026.2"), "other": facts("baseline")}
    found = choose_family(entries, list(entries), ["declared"])
    assert found.members == ("declared", "m19", *(f"m{k:02d}" for k in range(13)))
    assert len(found.members) == MAX_FAMILY
    assert set(found.outside) == {f"m{k:02d}" for k in range(13, 19)} | {"other"}
    assert "15 entries" in found.outside["other"]


def test_of_one_team_and_model_only_the_first_is_ranked() -> None:
    entries = {
        "net-b": facts(authors=("T",), model="net"), "net-a": facts(authors=("T",), model="net"),
        "net-c": facts(authors=("U",), model="net"), "other": facts(authors=("T",), model="tree"),
        "unsaid-1": facts(), "unsaid-2": facts(),
    }  # fmt: skip
    found = choose_family(entries, list(entries), [])
    assert found.members == ("net-a", "net-c", "other", "unsaid-1", "unsaid-2")
    assert found.outside == {"net-b": "net-a is of the same team and model"}


def test_baselines_of_one_team_and_model_are_all_ranked() -> None:
    entries = {n: facts("baseline", authors=("T",), model="net") for n in ("a", "b")}
    assert choose_family(entries, list(entries), []).members == ("a", "b")


def test_an_incomplete_entry_is_no_member_and_frees_no_second_place_to_itself() -> None:
    entries = {
        "net-a": facts(authors=("T",), model="net"),
        "net-b": facts(authors=("T",), model="net"),
    }
    assert choose_family(entries, ["net-b"], []).members == ("net-b",)


def test_who_is_outside_the_family_gets_a_verdict_and_no_rank() -> None:
    values = usual() | {f"m{k:02d}": around(0.8, 20 + k) for k in range(12)}
    standings = build_standings(evidence(values), None)
    metric, cells = standings["metrics"]["macro_f1"], cells_of(standings)
    assert metric["family"] == sorted(BASELINES) + sorted(set(values) - set(BASELINES))[:12]
    assert list(metric["outside_family"]) == ["m09", "m10", "m11"]
    for name in metric["outside_family"]:
        assert (cells[name]["rank_low"], cells[name]["verdict"]) == (None, "yes")
    assert cells["m00"]["rank_low"] == 1


@pytest.mark.parametrize("scores", [1, -1], ids=["as they are", "turned round"])
def test_the_family_does_not_follow_the_scores(scores: int) -> None:
    values = {k: [scores * v for v in row] for k, row in usual().items()}
    values |= {f"m{k:02d}": [scores * v for v in around(0.5, k)] for k in range(14)}
    family = build_standings(evidence(values), None)["metrics"]["macro_f1"]["family"]
    assert family == sorted(BASELINES) + ["above", "below", "level"] + [
        f"m{k:02d}" for k in range(9)
    ]


def test_an_incomplete_entry_gains_nothing_from_the_units_that_it_left_out() -> None:
    """Undefined in the hard units, its mean is the highest of all."""
    values: dict[str, Any] = usual() | {"picky": [None] * 4 + [0.99] * 4}
    item = evidence(values)
    without = cells_of(build_standings(evidence(usual()), None))
    standings = build_standings(item, None)
    cells, metric = cells_of(standings), standings["metrics"]["macro_f1"]
    assert cells["picky"]["value"] == max(c["value"] for c in cells.values())
    assert standings["rows"][-1]["entry"] == "picky"
    assert (cells["picky"]["rank_low"], cells["picky"]["verdict"]) == (None, "not judged")
    assert cells["picky"]["hardest"] is None
    assert "picky" not in metric["family"] + metric["inseparable_from_best"]
    for name in usual():
        assert cells[name]["verdict"] == without[name]["verdict"]
        assert cells[name]["rank_high"] == without[name]["rank_high"]


def test_a_failed_entry_is_no_member_and_moves_no_rank() -> None:
    values: dict[str, Any] = usual() | {"crashed": "ValueError: no"}
    found = build_standings(evidence(values), None)["metrics"]["macro_f1"]
    without = build_standings(evidence(usual()), None)["metrics"]["macro_f1"]
    assert found["family"] == without["family"]
    assert found["inseparable_from_best"] == without["inseparable_from_best"] == ["above"]
    assert found["beats_every_baseline"] == ["above"]


def test_a_declared_baseline_that_failed_is_named() -> None:
    values: dict[str, Any] = usual() | {"logistic-regression": "ValueError: no"}
    found = build_standings(evidence(values), None)["metrics"]["macro_f1"]
    assert found["baselines_missing"] == ["logistic-regression"]
    assert (
        build_standings(evidence(usual()), None)["metrics"]["macro_f1"]["baselines_missing"] == []
    )


def test_a_board_that_ranks_nothing_names_nobody() -> None:
    item: BoardEvidence = replace(evidence(usual()), findings=[{"check": "x", "severity": "error"}])
    found = build_standings(item, None)["metrics"]["macro_f1"]
    assert (found["inseparable_from_best"], found["beats_every_baseline"]) == ([], [])
    assert found["check"] == {}
    assert facts_of(["a"])["a"].authors == ()
