"""The audit of entries: exposure, repeated predictions, what is better than perfect."""

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from leaderboard.audit._entries import (
    KnownData,
    exposure_flags,
    exposure_of,
    is_above_ceiling,
    other_names,
    shared_cells,
)
from leaderboard.config import read_board_locks, read_params
from leaderboard.errors import TableError
from leaderboard.inference.collect import collect
from leaderboard.inference.evidence import BoardEvidence, EntryFacts
from leaderboard.inference.standings import build_standings
from leaderboard.io import read_json, write_json
from tests.inference._boards import RANDOM, around, cells_of, evidence, facts_of, rows_of, usual

OURS = ("Maintainers",)
KNOWN = KnownData(
    names={
        "kang_ctrl": other_names("kang_ctrl", "GSE96583", "10.1038/nbt.4042"),
        "kang_ifnb": other_names("kang_ifnb", "GSE96583", ""),
        "norman": other_names("norman", "GSE133344, GSM7056148", ""),
        "gut": other_names("gut", "", ""),
    },
    shared={"gut": {"norman": 954}, "norman": {"gut": 954}},
)


def entry(**changes: Any) -> dict[str, Any]:
    return {"weights": "pretrained", "pretraining": ["CELLxGENE census"], "exposure": {}, **changes}


def declared(status: str) -> dict[str, dict[str, str]]:
    return {"kang_ctrl": {"status": status, "evidence": "list of studies in the supplement"}}


def status_of(entry: dict[str, Any], dataset: str = "kang_ctrl") -> str:
    return exposure_of(entry, dataset, KNOWN).status


@pytest.mark.parametrize("weights", ["none", "random", "trained here"])
def test_what_was_never_pretrained_saw_nothing(weights: str) -> None:
    clean = exposure_of(entry(weights=weights, pretraining=[]), "kang_ctrl", KNOWN)
    assert clean.status == "unseen"
    assert exposure_flags(clean) == []


def test_a_test_dataset_in_the_pretraining_was_seen() -> None:
    for corpus in ("kang_ctrl", "blood atlas with KANG_CTRL and more", "GEO: GSE96583",
                   "doi:10.1038/nbt.4042"):  # fmt: skip
        found = exposure_of(entry(pretraining=["census", corpus]), "kang_ctrl", KNOWN)
        assert found.status == "seen"
        (flag,) = exposure_flags(found)
        assert (flag.check, flag.severity) == ("exposure", "error")


@pytest.mark.parametrize("corpus", ["kang_ctrl2", "my_kang_ctrl", "GSE965831", "guts and glory"])
def test_a_name_inside_another_word_is_no_name(corpus: str) -> None:
    assert status_of(entry(pretraining=[corpus])) == "unknown"
    assert status_of(entry(pretraining=[corpus]), "gut") == "unknown"


def test_both_datasets_of_one_accession_were_seen() -> None:
    given = entry(pretraining=["GSE96583"])
    assert [status_of(given, d) for d in ("kang_ctrl", "kang_ifnb", "norman")] == [
        "seen", "seen", "unknown",
    ]  # fmt: skip


@pytest.mark.parametrize("status", ["seen", "unseen", "unknown"])
def test_what_is_declared_holds(status: str) -> None:
    found = exposure_of(entry(exposure=declared(status)), "kang_ctrl", KNOWN)
    assert (found.status, found.evidence) == (status, "list of studies in the supplement")


def test_what_pretraining_names_was_seen_although_it_is_declared_unseen() -> None:
    assert status_of(entry(pretraining=["GSE96583"], exposure=declared("unseen"))) == "seen"


def test_nothing_declared_of_a_pretrained_model_is_unknown_and_a_warning() -> None:
    for given in (entry(), entry(pretraining=[])):
        found = exposure_of(given, "kang_ctrl", KNOWN)
        assert found.status == "unknown"
        assert [f.severity for f in exposure_flags(found)] == ["warning"]


def test_a_dataset_that_shares_cells_with_one_that_was_seen_was_seen() -> None:
    given = entry(pretraining=["norman"])
    found = exposure_of(given, "gut", KNOWN)
    assert (found.status, found.evidence) == (
        "seen",
        "it saw norman, which holds 954 of these cells",
    )
    assert exposure_of(given, "gut", replace(KNOWN, shared={})).status == "unknown"


def test_shared_cells_count_in_both_directions() -> None:
    rows: list[dict[str, Any]] = [
        {"dataset": "b", "shared": [954, 950], "genes": 300},
        {"dataset": "c", "shared": [0, 0]},
    ]
    assert shared_cells({"a": [], "b": []}) == {}
    assert shared_cells({"a": rows}) == {"a": {"b": 954}, "b": {"a": 950}}
    back: list[dict[str, Any]] = [{"dataset": "a", "shared": [950, 954]}]
    assert shared_cells({"a": rows, "b": back}) == {"a": {"b": 954}, "b": {"a": 950}}
    with pytest.raises(TableError, match="a: `shared` must hold objects with dataset and shared"):
        shared_cells({"a": [{"dataset": "b", "n": 954}]})


def board(values: dict[str, Any], facts: dict[str, dict[str, Any]], **more: Any) -> BoardEvidence:
    """Return a board whose entries are ours but for what ``facts`` says."""
    item = evidence(values, **more)
    entries: dict[str, EntryFacts] = {
        name: replace(own, **{"authors": OURS, **facts.get(name, {})})
        for name, own in facts_of(values).items()
    }
    return replace(item, entries=entries)


def test_clean_entries_have_no_flag_and_all_rank() -> None:
    standings = build_standings(board(usual(), {}), None)
    assert all(row["flags"] == [] for row in standings["rows"])
    assert all(cell["rank_low"] for cell in cells_of(standings).values())


def test_an_entry_that_saw_the_dataset_is_out_of_ranks_and_verdicts() -> None:
    seen = {"above": {"exposure": "seen", "exposure_evidence": "its pretraining names tiny"}}
    clean = cells_of(build_standings(board(usual(), {}), None))
    standings = build_standings(board(usual(), seen), None)
    cells = cells_of(standings)
    assert (clean["above"]["rank_low"], clean["above"]["verdict"]) == (1, "yes")
    assert (cells["above"]["rank_low"], cells["above"]["verdict"]) == (None, "not judged")
    assert cells["above"]["value"] == clean["above"]["value"]
    (flag,) = rows_of(standings)["above"]["flags"]
    assert flag == {
        "check": "exposure", "severity": "error",
        "message": "saw these data before: its pretraining names tiny",
    }  # fmt: skip
    assert max(c["rank_high"] for c in cells.values() if c["rank_high"]) == len(cells) - 1


def test_unknown_exposure_is_flagged_and_keeps_its_rank() -> None:
    standings = build_standings(board(usual(), {"above": {"exposure": "unknown"}}), None)
    assert [f["severity"] for f in rows_of(standings)["above"]["flags"]] == ["warning"]
    assert cells_of(standings)["above"]["rank_low"] == 1


def copied() -> dict[str, Any]:
    values = usual()
    return values | {"copy": [v * (1 + 1e-12) for v in values["above"]]}


def test_the_predictions_of_somebody_else_are_flagged_on_both_rows() -> None:
    standings = build_standings(board(copied(), {"copy": {"authors": ("Else",)}}), None)
    flags = {name: row["flags"] for name, row in rows_of(standings).items() if row["flags"]}
    assert {n: [f["check"] for f in own] for n, own in flags.items()} == {
        "above": ["repeated predictions"], "copy": ["repeated predictions"],
    }  # fmt: skip
    assert "scores the same as above" in flags["copy"][0]["message"]
    assert cells_of(standings)["copy"]["rank_low"] is not None


def test_twins_of_one_team_and_nearly_equal_scores_are_not_flagged() -> None:
    values = usual() | {"near": [v + 1e-6 for v in usual()["above"]]}
    for item in (board(copied(), {}), board(values, {"near": {"authors": ("Else",)}})):
        assert all(row["flags"] == [] for row in build_standings(item, None)["rows"])


def test_two_agreeing_values_are_no_copy() -> None:
    values = {"one": [0.5, 0.5], "two": [0.5, 0.5]}
    standings = build_standings(board(values, {"two": {"authors": ("Else",)}}), None)
    assert all(row["flags"] == [] for row in standings["rows"])


NOISE = {"ceiling": 0.75, "ceiling_low": 0.73, "ceiling_high": 0.76, "ceiling_kind": "noise"}


def test_an_entry_that_is_better_than_perfect_is_an_error_and_does_not_rank() -> None:
    standings = build_standings(board(usual(), {}, frozen=NOISE), None)
    assert {n for n, row in rows_of(standings).items() if row["flags"]} == {"above"}
    (flag,) = rows_of(standings)["above"]["flags"]
    assert (flag["check"], flag["severity"]) == ("above the ceiling", "error")
    assert cells_of(standings)["above"]["rank_low"] is None


def test_an_interval_that_reaches_into_the_ceilings_is_no_error() -> None:
    values = usual() | {"above": around(0.77, 4, sd=0.03)}
    standings = build_standings(board(values, {}, frozen=NOISE), None)
    assert all(row["flags"] == [] for row in standings["rows"])


def test_random_boards_and_ceilings_that_may_be_exceeded_say_nothing() -> None:
    for more in ({"board": RANDOM, "frozen": NOISE}, {"frozen": NOISE | {"ceiling_kind": "none"}}):
        standings = build_standings(board(usual(), {}, **more), None)
        assert all(row["flags"] == [] for row in standings["rows"])


def test_less_error_than_a_perfect_predictor_is_above_the_ceiling_too() -> None:
    frozen = {**NOISE, "trusted": True}
    assert is_above_ceiling(0.5, 0.7, frozen, higher_is_better=False)
    assert not is_above_ceiling(0.5, 0.74, frozen, higher_is_better=False)
    assert not is_above_ceiling(None, None, frozen, higher_is_better=False)
    assert not is_above_ceiling(0.5, 0.7, frozen | {"trusted": False}, higher_is_better=False)


ROOT = Path(__file__).parents[2]
KANG = "kang_ctrl-cell_type_annotation-donor"


@pytest.fixture
def results(in_folder: Path) -> Path:
    """Give the committed results of one dataset, and all that rank reads beside them."""
    shutil.copytree(
        ROOT / "leaderboard/results/kang_ctrl", in_folder / "leaderboard/results/kang_ctrl"
    )
    shutil.copytree(ROOT / "data/boards.lock", in_folder / "data/boards.lock")
    for name in ("params.yaml", "data/datasets.yaml", "data/splits.lock.json"):
        shutil.copy2(ROOT / name, in_folder / name)
    return in_folder / "leaderboard/results"


def knn_on_kang() -> dict[str, Any]:
    entries = [p.name for p in (ROOT / "leaderboard/entries").iterdir() if p.is_dir()]
    (item,) = [e for e in collect(read_params(), read_board_locks(), entries) if e.board.id == KANG]
    return rows_of(build_standings(item, None))["knn"]


def declare(results: Path, corpus: str) -> None:
    path = results / "kang_ctrl/knn.json"
    record = read_json(path)
    record["entry"] |= {"weights": "pretrained", "pretraining": [corpus]}
    write_json(path, record)


def test_committed_results_that_declare_the_dataset_lose_their_rank(results: Path) -> None:
    clean = knn_on_kang()
    assert (clean["flags"], clean["exposure"]) == ([], "unseen")
    assert clean["metrics"]["macro_f1"]["rank_low"] is not None
    declare(results, "blood of lupus patients, GSE96583")
    seen = knn_on_kang()
    assert [(f["check"], f["severity"]) for f in seen["flags"]] == [("exposure", "error")]
    assert seen["metrics"]["macro_f1"]["rank_low"] is None
    assert seen["metrics"]["macro_f1"]["value"] == clean["metrics"]["macro_f1"]["value"]


def test_committed_results_that_declare_a_dataset_with_shared_cells_do_too(results: Path) -> None:
    declare(results, "norman_mcfaline")
    assert [f["severity"] for f in knn_on_kang()["flags"]] == ["warning"]
    facts = read_json(results / "kang_ctrl/_dataset.json")
    shared = [{"dataset": "norman_mcfaline", "shared": [954, 954]}]
    write_json(results / "kang_ctrl/_dataset.json", facts | {"shared": shared})
    (flag,) = knn_on_kang()["flags"]
    assert flag["severity"] == "error"
    assert flag["message"].endswith("it saw norman_mcfaline, which holds 954 of these cells")
