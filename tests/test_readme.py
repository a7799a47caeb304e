"""The table of boards in README is the one that the standings give."""

import re
from pathlib import Path
from typing import Any

import pytest

from leaderboard.errors import TableError
from leaderboard.io import write_json
from leaderboard.submission import readme

ROOT = Path(__file__).parents[1]
VALUE = r"\d\.\d{3}"
"""Other machines round elsewhere: the words must be the same, and the values near."""
BOARD = "sim_atlas-cell_type_annotation-donor"


def standings(**more: Any) -> dict[str, Any]:
    rows = [
        ("knn", "baseline", 0.5, 1.0), ("mean", "baseline", 0.7, 1.0), ("net", "model", 0.6, 1.0),
        ("picky", "model", 0.9, 0.5),
    ]  # fmt: skip
    return {
        "board": {"id": BOARD, "unit": "donor_id"},
        "ranked": True,
        "reasons": [],
        "sorted_by": "macro_f1",
        "constants": {},
        "metrics": {"macro_f1": {"ranks": True, "units": ["a", "b"]}, "ece": {"ranks": False}},
        "rows": [
            {
                "name": n,
                "kind": k,
                "status": "complete",
                "metrics": {"macro_f1": {"value": v, "coverage": c}},
            }
            for n, k, v, c in rows
        ],
        **more,
    }


def line_of(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, **more: Any) -> str:
    write_json(tmp_path / "standings/one.json", standings(**more))
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr("leaderboard.layout.STANDINGS", tmp_path / "standings")
    return readme.board_table().splitlines()[-1]


def test_a_ranked_board_names_units_metrics_and_the_best_of_each_kind(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert line_of(monkeypatch, tmp_path) == (
        f"| `{BOARD}` | 2 donors | ranks by `macro_f1` | mean 0.700 (`macro_f1`) | net 0.600 |"
    )


def test_an_entry_that_the_audit_refuses_is_passed_over(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    rows = standings()["rows"]
    rows[1]["flags"] = [{"check": "exposure", "severity": "error", "message": "seen"}]
    rows[2]["flags"] = [{"check": "exposure", "severity": "warning", "message": "unknown"}]
    line = line_of(monkeypatch, tmp_path, rows=rows)
    assert line.endswith("| knn 0.500 (`macro_f1`) | net 0.600 |")


def test_responders_reasons_and_empty_boards_are_told(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    gate = {"responders": ["a"], "weak": ["b"], "noise": ["c", "d"]}
    line = line_of(
        monkeypatch, tmp_path, ranked=False, rows=[], constants=gate, reasons=["points only: 5 of"]
    )
    cells = ["1 of 4 donors respond", "not ranked: points only: 5 of", "none (`macro_f1`)", "none"]
    assert line == f"| `{BOARD}` | {' | '.join(cells)} |"
    line = line_of(monkeypatch, tmp_path, ranked=False, reasons=["word " * 40])
    assert line.split(" | ")[2].endswith("word ...")
    assert len(line.split(" | ")[2]) < 120


def test_only_what_stands_between_the_marks_is_renewed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    row = line_of(monkeypatch, tmp_path)
    page = tmp_path / "README.md"
    page.write_text(f"above\n{readme.BEGIN}\nold\n{readme.END}\nbelow\n")
    assert readme.update_readme(page)
    text = page.read_text()
    assert text.startswith("above\n")
    assert text.endswith("\nbelow\n")
    assert row in text
    assert "old" not in text
    assert not readme.update_readme(page)


@pytest.mark.parametrize("text", ["no marks", f"{readme.END}\n{readme.BEGIN}", readme.BEGIN * 2])
def test_a_file_without_both_marks_is_refused_and_kept(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, text: str
) -> None:
    line_of(monkeypatch, tmp_path)
    page = tmp_path / "README.md"
    page.write_text(text)
    with pytest.raises(TableError, match="once each"):
        readme.update_readme(page)
    assert page.read_text() == text


def test_the_table_of_this_tree_is_up_to_date(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    if not Path("data/standings").is_dir():
        pytest.skip("data/standings is not there: run `make leaderboard` first")
    kept = Path("README.md").read_text(encoding="utf-8").partition(readme.BEGIN)[2]
    kept, found = kept.partition(readme.END)[0].strip(), readme.board_table()
    assert re.sub(VALUE, "", kept) == re.sub(VALUE, "", found)
    values = [[float(v) for v in re.findall(VALUE, text)] for text in (kept, found)]
    assert values[0] == pytest.approx(values[1], abs=0.01), (
        "run `heldout boards --readme README.md`"
    )
