"""Failures that were planted are reported, with intervals over units, and nothing else is."""

import csv
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from leaderboard.errors import TableError
from leaderboard.inference._direction import TESTED, direction_records, sign_test_p
from leaderboard.inference._losses import N_WORST, SOLVED_RECALL
from leaderboard.inference._recall import LabelCells, label_records, recall_record
from leaderboard.inference.evidence import BoardEvidence
from leaderboard.inference.failures import build_failures, labels_of
from leaderboard.io import FAILURE_COLUMNS
from tests.inference._boards import GROUPED, evidence, score_rows, usual

ROOT = Path(__file__).parents[2]
KANG = "kang_ctrl-cell_type_annotation-donor"
RESULTS = ROOT / "leaderboard/results/kang_ctrl"
Cells = Mapping[tuple[str, str, str], int]
"""(unit, true label, predicted label) to cells."""


def confusions(entry: str, cells: Cells, *, seed: int = 0, fold: int | None = None) -> pd.DataFrame:
    """Rows as scoring writes them; every unit is a fold of its own unless one is given."""
    units = sorted({unit for unit, _, _ in cells})
    rows = [
        {
            "entry": entry, "board": GROUPED.id, "seed": seed, "kind": "confusion", "unit": unit,
            "fold": units.index(unit) if fold is None else fold, "subject": label, "key": predicted,
            "position": 0, "value": 0.0, "n": n,
        }
        for (unit, label, predicted), n in cells.items()
    ]  # fmt: skip
    return pd.DataFrame(rows)[FAILURE_COLUMNS]


def even(n_units: int = 6, **found: int) -> dict[tuple[str, str, str], int]:
    """Every label has 40 cells in every unit, ``found`` of which are named right, else ``A``."""
    cells = {}
    for k in range(n_units):
        for label, right in found.items():
            cells[f"u{k}", label, label] = right
            if right < 40:
                cells[f"u{k}", label, "A" if label != "A" else "B"] = 40 - right
    return cells


CLASSES = {"classes": ["A", "B", "C"]}


def one(records: list[dict[str, Any]], label: str) -> dict[str, Any]:
    return next(r for r in records if r["label"] == label)


def test_a_confusion_planted_in_one_donor_is_reported_in_that_donor() -> None:
    planted = even(A=40, B=40, C=30)
    planted["u3", "B", "B"], planted["u3", "B", "A"] = 4, 36
    records = label_records(confusions("bad", planted), CLASSES, [])
    found = one(records, "B")["entries"]["bad"]
    (confusion,) = found["confusions"]
    assert (confusion["label"], confusion["cells"], confusion["units"]) == ("A", 36.0, 1)
    assert (confusion["worst_unit"], confusion["worst_unit_cells"]) == ("u3", 36.0)
    assert confusion["worst_unit_of"] == 40.0
    assert found["recall"] == pytest.approx(1 - 36 / 240)
    assert one(records, "A")["entries"]["bad"]["confusions"] == []
    spread = one(records, "C")["entries"]["bad"]["confusions"][0]
    assert (spread["cells"], spread["units"], spread["worst_unit_cells"]) == (60.0, 6, 10.0)


def test_the_three_labels_that_most_cells_were_taken_for_come_first() -> None:
    cells = {("u0", "B", label): n for label, n in zip("ACDEB", (5, 9, 2, 7, 20), strict=True)}
    cells |= {("u1", "B", "B"): 3, ("u1", "A", "A"): 9, ("u0", "A", "A"): 9}
    found = one(label_records(confusions("e", cells), CLASSES, []), "B")["entries"]["e"]
    assert [c["label"] for c in found["confusions"]] == ["C", "E", "A"]
    assert found["confusions"][0]["share"] == pytest.approx(9 / 46)


def test_the_interval_is_that_of_a_ratio_over_units() -> None:
    """Against the textbook formula: s^2 = G / (G - 1) sum (found - R n)^2 / (sum n)^2."""
    rng = np.random.default_rng(5)
    n = rng.integers(3, 60, 9).astype(float)
    found = np.floor(n * rng.uniform(0.2, 0.9, 9))
    ratio = found.sum() / n.sum()
    error = math.sqrt(9 / 8 * ((found - ratio * n) ** 2).sum()) / n.sum()
    margin = stats.t.ppf(0.975, 8) * error
    got = recall_record(LabelCells(units=tuple("abcdefghi"), n=n, found=found))
    assert got["recall"] == pytest.approx(ratio)
    assert (got["low"], got["high"]) == pytest.approx((ratio - margin, ratio + margin))
    assert (got["cells"], got["units"], got["reason"]) == (n.sum(), 9, "")


def test_the_interval_covers_the_recall_of_donors_that_differ_and_a_binomial_does_not() -> None:
    """1,500 boards of 8 donors whose recall has mean .5 and SD .2; 12 to 40 cells a donor."""
    rng = np.random.default_rng(0)
    by_unit, by_cell = 0, 0
    for _ in range(1500):
        n = rng.integers(12, 41, 8)
        found = rng.binomial(n, rng.beta(2.625, 2.625, 8))
        got = recall_record(LabelCells(units=tuple("abcdefgh"), n=n * 1.0, found=found * 1.0))
        by_unit += bool(got["low"] <= 0.5 <= got["high"])
        naive = stats.binomtest(int(found.sum()), int(n.sum())).proportion_ci(method="wilson")
        by_cell += bool(naive.low <= 0.5 <= naive.high)
    assert by_unit / 1500 > 0.92
    assert by_cell / 1500 < 0.75


def test_few_cells_are_counts_and_few_units_are_points() -> None:
    few = recall_record(LabelCells(units=("a", "b", "c"), n=np.ones(3) * 3, found=np.ones(3)))
    assert (few["low"], few["found"], few["cells"]) == (None, 3.0, 9.0)
    assert few["reason"] == "under 10 cells: counts only"
    two = recall_record(LabelCells(units=("a", "b"), n=np.ones(2) * 50, found=np.array([9.0, 8])))
    assert (two["low"], two["high"], two["reason"]) == (None, None, "no interval: 2 unit(s)")


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_units_that_are_all_at_one_end_get_an_exact_bound_over_units(share: float) -> None:
    cells = LabelCells(units=tuple("abcdefgh"), n=np.full(8, 12.0), found=np.full(8, 12.0 * share))
    got = recall_record(cells)
    exact = stats.binomtest(int(8 * share), 8).proportion_ci(method="exact")
    assert (got["low"], got["high"]) == pytest.approx((exact.low, exact.high))
    assert "exact bound over units" in got["reason"]


def test_labels_that_no_training_held_are_counted_and_not_judged() -> None:
    cells = even(A=40, B=20)
    cells["u2", "new", "A"] = 25
    records = label_records(confusions("e", cells), CLASSES, [])
    new = one(records, "new")
    assert (new["cells"], new["unseen_cells"], new["entries"]) == (25.0, 25.0, {})
    assert one(records, "A")["unseen_cells"] == 0


def test_of_units_spread_over_folds_every_label_counts_as_held() -> None:
    records = label_records(confusions("e", even(A=40, B=20), fold=-1), CLASSES, [])
    assert one(records, "B")["entries"]["e"]["recall"] == 0.5
    assert one(records, "B")["unseen_cells"] == 0


def test_rare_labels_come_first_with_the_reason() -> None:
    cells = even(A=40, B=40, D=40)
    cells |= {("u0", "C", "C"): 2, ("u1", "C", "A"): 2}
    records = label_records(confusions("e", cells), CLASSES, [])
    assert [(r["label"], r["rare"]) for r in records] == [
        ("C", "under 1 % of the cells"), ("D", "outside the ranked classes"), ("A", ""), ("B", ""),
    ]  # fmt: skip


def test_seeds_are_averaged_and_add_no_cells() -> None:
    both = pd.concat([confusions("e", even(A=40, B=10)), confusions("e", even(A=40, B=30), seed=1)])
    found = one(label_records(both, CLASSES, []), "B")["entries"]["e"]
    assert (found["recall"], found["cells"], found["found"]) == (0.5, 240.0, 120.0)
    assert found["confusions"][0]["cells"] == 120.0


def test_the_best_baseline_stands_beside_every_entry_with_a_paired_difference() -> None:
    tables = [
        confusions(name, even(A=40, B=right))
        for name, right in (("model", 10), ("weak", 15), ("strong", 25))
    ]
    tables[0].loc[tables[0]["key"] == "B", "n"] += [0, 2, 1, 0, 2, 1]
    cells = tables[0]["key"] == "A"
    tables[0].loc[cells & (tables[0]["subject"] == "B"), "n"] -= [0, 2, 1, 0, 2, 1]
    found = one(label_records(pd.concat(tables), CLASSES, ["weak", "strong"]), "B")["entries"]
    assert {name: row["baseline"] for name, row in found.items()} == {
        "model": "strong", "weak": "strong", "strong": "weak",
    }  # fmt: skip
    gaps = np.array([-15, -13, -14, -15, -13, -14]) / 40
    expected = stats.ttest_1samp(gaps, 0).confidence_interval()
    got = found["model"]["difference"]
    assert (got["mean"], got["low"], got["high"]) == pytest.approx((gaps.mean(), *expected))


def test_entries_that_answered_other_cells_are_refused() -> None:
    rows = [confusions("model", even(A=40, B=10)), confusions("base", even(n_units=5, A=40, B=10))]
    with pytest.raises(TableError, match=r"240 cells in 6 units, another 200 in 5.*score both"):
        label_records(pd.concat(rows), CLASSES, ["base"])


def with_failures(values: Mapping[str, Any], rows: pd.DataFrame, **changes: Any) -> BoardEvidence:
    item = evidence(values, **changes)
    return BoardEvidence(**{**item.__dict__, "failures": rows})


def test_units_that_nobody_solves_and_those_that_one_entry_does_are_found() -> None:
    values = {name: list(row) for name, row in usual().items()}
    for row in values.values():
        row[2] = 0.15
    values["logistic-regression"][5] = 0.99
    values["above"][4], values["below"][4], values["level"][4] = 0.9, 0.1, 0.1
    values["below"][7], values["level"][7], values["above"][7] = 0.95, 0.96, 0.97
    found = build_failures(evidence(values), "macro_f1")["unsolved"]["units"]
    assert found["units"] == 8
    assert {"u2", "u5"} <= {row["unit"] for row in found["nobody"]}
    assert found["nobody"][0]["unit"] == "u2"
    assert found["nobody"][0]["bar"] == "floor"
    (u5,) = (row for row in found["nobody"] if row["unit"] == "u5")
    assert (u5["best"], u5["bar"], u5["bar_value"]) == ("above", "logistic-regression", 0.99)
    assert u5["gap"] == pytest.approx(values["above"][5] - 0.99)
    alone = {row["unit"]: row["solvers"] for row in found["one"]}
    assert alone["u4"] == ["above"]
    assert "u7" not in alone


def test_where_lower_is_better_the_same_units_are_unsolved() -> None:
    from leaderboard.inference._losses import Values, losses_of, unsolved_units

    table = pd.DataFrame({"a": [0.2, 0.5, 0.9], "b": [0.2, 0.1, 0.3]}, index=["base", "m", "n"])
    values = Values(table=table, counts=table * 0 + 7, declared=["base"], floor=1.0, sign=-1.0)
    found = unsolved_units(values)
    assert [(r["unit"], r["value"], r["bar"]) for r in found["nobody"]] == [("a", 0.5, "base")]
    assert [(r["unit"], r["solvers"]) for r in found["one"]] == [("b", ["m"])]
    lost = losses_of(values, "n")
    assert (lost["lost"], lost["compared"], lost["baseline"]) == (2, 2, "base")
    assert [u["unit"] for u in lost["worst_lost"]] == ["a", "b"]
    assert lost["worst_lost"][0]["difference"] == pytest.approx(-0.7)


def test_lost_units_are_those_below_the_best_declared_baseline_worst_first() -> None:
    values = {name: list(row) for name, row in usual().items()}
    values["above"][1] = values["logistic-regression"][1] - 0.3
    values["above"][6] = values["logistic-regression"][6] - 0.1
    found = build_failures(evidence(values), "macro_f1")["entries"]["above"]["losses"]
    assert (found["baseline"], found["lost"], found["compared"]) == ("logistic-regression", 2, 8)
    assert [u["unit"] for u in found["worst_lost"]] == ["u1", "u6"]
    assert [u["difference"] for u in found["worst_lost"]] == pytest.approx([-0.3, -0.1])
    assert len(found["worst"]) == N_WORST
    assert found["worst"][0] == found["worst_lost"][0]
    assert found["worst"][0]["n"] == 9


def test_types_that_an_entry_loses_are_counted_and_the_sure_ones_among_them() -> None:
    rows = [
        confusions("majority", even(A=40, B=30, C=20)),
        confusions("net", even(A=39, B=8, C=24)),
    ]
    a, b = (rows[1]["subject"] == "A"), (rows[1]["subject"] == "B")
    turned = {("u0", "A"): 40, ("u0", "B"): 9, ("u1", "B"): 5}
    for (unit, label), n in turned.items():
        at = (a if label == "A" else b) & (rows[1]["unit"] == unit)
        rows[1].loc[at & (rows[1]["key"] == label), "n"] = n
        rows[1].loc[at & (rows[1]["key"] != label), "n"] = 40 - n
    rows[1] = rows[1][rows[1]["n"] > 0]
    item = with_failures({"majority": [0.3] * 6, "net": [0.4] * 6}, pd.concat(rows),
                         constants=CLASSES)  # fmt: skip
    found = build_failures(item, "macro_f1")["entries"]["net"]["labels"]
    assert (found["compared"], found["lost"], found["surely"]) == (3, 2, 2)
    assert [row["label"] for row in found["worst"]] == ["B", "A"]
    assert found["worst"][0]["mean"] == pytest.approx((4 * 8 + 9 + 5) / 240 - 30 / 40)


def test_labels_below_one_half_by_everybody_are_unsolved() -> None:
    rows = pd.concat(
        [
            confusions("majority", even(A=40, B=0, C=5)),
            confusions("net", even(A=30, B=0, C=25)),
        ]
    )
    item = with_failures({"majority": [0.3] * 8, "net": [0.4] * 8}, rows, constants=CLASSES)
    found = build_failures(item, "macro_f1")["unsolved"]["labels"]
    assert [(r["label"], r["recall"]) for r in found["nobody"]] == [("B", 0.0)]
    assert [(r["label"], r["solvers"]) for r in found["one"]] == [("C", ["net"])]
    assert found["labels"] == 3
    assert SOLVED_RECALL == 0.5


def test_failure_rows_of_other_predictions_than_the_scores_are_refused() -> None:
    values = {"net": [0.75] * 6}
    item = with_failures(values, confusions("net", even(A=40, B=20)), constants=CLASSES)
    scores = score_rows(GROUPED, "accuracy", values)
    good = BoardEvidence(**{**item.__dict__, "scores": pd.concat([item.scores, scores])})
    assert build_failures(good, None)["labels"]
    scores.loc[3, "value"] = 0.8
    bad = BoardEvidence(**{**item.__dict__, "scores": pd.concat([item.scores, scores])})
    with pytest.raises(TableError, match=r"net \(seed 0, unit u3\).*0\.75.*0\.8.*score the entry"):
        build_failures(bad, None)


def direction(genes: Mapping[str, tuple[int, int]], tested: int) -> pd.DataFrame:
    """Rows of one entry: gene to (wrong, n)."""
    base = {"entry": "e", "board": "b", "fold": -1, "seed": 0, "kind": "direction", "unit": "all"}
    rows = [
        {**base, "subject": gene, "position": k, "key": "wrong direction", "value": w / n, "n": n}
        for k, (gene, (w, n)) in enumerate(genes.items())
    ]
    rows.append({**base, "subject": "all", "position": 0, "key": TESTED, "value": tested, "n": 30})
    return pd.DataFrame(rows)


def test_reversed_genes_have_exact_sign_tests_that_know_how_many_were_tested() -> None:
    found = direction_records(direction({"TURNED": (30, 30), "HALF": (16, 30)}, tested=400))
    assert found is not None
    turned, half = found["genes"]
    assert (turned["gene"], turned["wrong"], turned["n"], found["tested"]) == (
        "TURNED",
        30,
        30,
        400,
    )
    assert turned["p"] == pytest.approx(stats.binomtest(30, 30, alternative="greater").pvalue)
    assert turned["p_holm"] == pytest.approx(400 * turned["p"])
    assert half["p"] == pytest.approx(stats.binomtest(16, 30, alternative="greater").pvalue)
    assert half["p_holm"] == 1.0
    assert found["significant"] == 1


def test_without_direction_rows_nothing_is_said() -> None:
    assert direction_records(pd.DataFrame(columns=FAILURE_COLUMNS)) is None
    assert sign_test_p(0, 7) == 1.0


# The question of the issue: Megakaryocytes of kang_ctrl, from the committed results


def _counted(entry: str) -> dict[str, tuple[int, int]]:
    """Found and all Megakaryocytes by donor, read without the library."""
    counts: dict[str, tuple[int, int]] = {}
    with (RESULTS / f"{entry}.failures.csv").open(encoding="utf-8") as stream:
        for row in csv.DictReader(stream):
            if (row["board"], row["kind"], row["subject"]) == (KANG, "confusion", "Megakaryocytes"):
                found, n = counts.get(row["unit"], (0, 0))
                cells = int(row["n"])
                counts[row["unit"]] = (found + cells * (row["key"] == row["subject"]), n + cells)
    return counts


@pytest.fixture(scope="module")
def kang() -> dict[str, Any]:
    from leaderboard.io import read_failures, read_json, read_scores

    entries = [p.name.removesuffix(".failures.csv") for p in RESULTS.glob("*.failures.csv")]
    rows = pd.concat([read_failures(RESULTS / f"{name}.failures.csv") for name in entries])
    scores = pd.concat([read_scores(RESULTS / f"{name}.csv") for name in entries])
    lock = read_json(ROOT / "data/boards.lock/kang_ctrl.json")[KANG]
    rows, scores = rows[rows["board"] == KANG], scores[scores["board"] == KANG]
    item = evidence(dict.fromkeys(rows["entry"].unique(), [0.5] * 8), constants=lock)
    fields = {**item.__dict__, "failures": rows, "scores": scores, "constants": lock}
    return {"record": build_failures(BoardEvidence(**fields), "macro_f1"), "scores": scores}


def test_every_entry_of_kang_ctrl_has_an_interval_for_megakaryocytes(kang: dict[str, Any]) -> None:
    label = labels_of(kang["record"], "Megakaryocytes")
    assert (label["cells"], label["unseen_cells"]) == (95.0, 0.0)
    assert label["rare"] == "under 1 % of the cells"
    assert len(label["entries"]) >= 10
    for name, found in label["entries"].items():
        counts = _counted(name)
        assert (found["units"], found["cells"]) == (8, 95.0)
        assert found["found"] == sum(f for f, _ in counts.values())
        n = np.array([n for _, n in counts.values()])
        own = np.array([f for f, _ in counts.values()])
        ratio = own.sum() / 95
        assert found["recall"] == pytest.approx(ratio)
        margin = stats.t.ppf(0.975, 7) * math.sqrt(8 / 7 * ((own - ratio * n) ** 2).sum()) / 95
        low, high = max(0.0, ratio - margin), min(1.0, ratio + margin)
        if margin == 0:
            low, high = stats.binomtest(0, 8).proportion_ci(method="exact")
        assert (found["low"], found["high"]) == pytest.approx((low, high)), name
        assert found["recall"] == 1 or found["confusions"]


def test_recall_of_rare_cells_is_what_the_score_table_says(kang: dict[str, Any]) -> None:
    """Megakaryocytes are the board's only rare label, so both must agree."""
    label = labels_of(kang["record"], "Megakaryocytes")
    scores = kang["scores"][kang["scores"]["metric"] == "rare_recall"]
    for name, rows in scores[scores["entry"].isin(label["entries"])].groupby("entry"):
        pooled = float((rows["value"] * rows["n"]).sum() / rows["n"].sum())
        assert label["entries"][name]["recall"] == pytest.approx(pooled, abs=1e-9)


def test_an_unknown_cell_type_is_told_what_there_is(kang: dict[str, Any]) -> None:
    with pytest.raises(TableError, match=r"no cell type 'Mega'. Known: B cells, .*Megakaryocytes"):
        labels_of(kang["record"], "Mega")
