"""What must hold on every board with results: adversaries lose, controls stay in their places."""

import sys
from pathlib import Path

import pandas as pd
import pytest

from leaderboard.config import read_board_locks, read_params
from leaderboard.inference.collect import collect
from leaderboard.inference.evidence import BoardEvidence
from leaderboard.inference.standings import build_standings
from leaderboard.metrics import METRICS

ROOT = Path(__file__).parents[1]
SCORES = ROOT / "data/scores/known_truth"
ROUNDING = 1e-6


def evidence_of(suite: str) -> list[BoardEvidence]:
    known = [p.name for p in (ROOT / "leaderboard/entries").iterdir() if p.is_dir()]
    found = collect(read_params(), read_board_locks(), known)
    return [item for item in found if item.suite == suite and not item.board.is_random]


@pytest.fixture(params=["public_small", "known_truth"])
def boards(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> list[BoardEvidence]:
    """Every grouped board of a suite, from committed results or from this tree's pipeline."""
    monkeypatch.chdir(ROOT)
    if request.param == "known_truth" and not SCORES.is_dir():
        pytest.skip("data/scores/known_truth is not there: run `make leaderboard` first")
    found = evidence_of(request.param)
    assert found
    return found


def unit_means(item: BoardEvidence, metric: str) -> "pd.Series[float]":
    """Mean over ranking units by entry, straight from the score rows; complete entries only."""
    rows = item.scores[item.scores["metric"] == metric]
    failed = set(rows.loc[rows["status"] == "failed", "entry"])
    rows = rows[~rows["entry"].isin(failed) & (rows["status"] == "ok")]
    if "responders" in item.constants:
        rows = rows[rows["unit"].isin(item.constants["responders"])]
    by_unit = rows.groupby(["entry", "unit"])["value"].mean()
    return by_unit.groupby(level="entry").mean()


def test_no_adversary_beats_the_best_simple_baseline_where_a_metric_ranks(
    boards: list[BoardEvidence],
) -> None:
    table, ranked = [], 0
    for item in boards:
        standings = build_standings(item, None)
        for name, metric in standings["metrics"].items():
            if not METRICS[name].is_ranked:
                continue
            means = unit_means(item, name) * (1 if METRICS[name].higher_is_better else -1)
            gamers = [n for n, f in item.entries.items() if f.is_adversary and n in means]
            simple = [n for n, f in item.entries.items() if f.kind == "baseline" and n in means]
            if not gamers or not simple:
                continue
            lead = float(means[gamers].max() - means[simple].max())
            table.append((item.board.id, name, metric["ranks"], str(means[gamers].idxmax()), lead))
            ranked += metric["ranks"]
            assert lead <= ROUNDING or not metric["ranks"], table[-1]
            if lead > ROUNDING and not item.board.unranked:
                assert metric["reason"], table[-1]
    columns = ["board", "metric", "ranks", "adversary", "lead"]
    sys.stdout.write(pd.DataFrame(table, columns=columns).to_string() + "\n")
    assert ranked


def test_every_board_has_its_adversaries_and_refuses_the_one_without_numbers(
    boards: list[BoardEvidence],
) -> None:
    for item in boards:
        gamers = {n for n, f in item.entries.items() if f.is_adversary}
        assert {"constant", "depth_only", "nan_filler"} <= gamers, item.board.id
        rows = item.scores[item.scores["entry"] == "nan_filler"]
        assert set(rows["status"]) == {"failed"}, item.board.id
        assert rows["reason"].str.contains("finite|NaN").all(), item.board.id


def test_the_oracle_scores_at_the_ceiling_of_every_simulated_board(
    boards: list[BoardEvidence],
) -> None:
    """Within the ceiling's interval over units."""
    table, simulated = [], [item for item in boards if item.suite == "known_truth"]
    for item in simulated:
        for name, metric in item.constants["metrics"].items():
            if not METRICS[name].is_ranked or not metric["trusted"]:
                continue
            oracle = float(unit_means(item, name)["oracle"])
            within = metric["ceiling_low"] - ROUNDING <= oracle <= metric["ceiling_high"] + ROUNDING
            ends = metric["ceiling_low"], metric["ceiling"], metric["ceiling_high"]
            table.append((item.board.id, name, oracle, *ends))
            assert within, table[-1]
    columns = ["board", "metric", "oracle", "low", "ceiling", "high"]
    assert len({board for board, *_ in table}) == len(simulated)
    sys.stdout.write(pd.DataFrame(table, columns=columns).to_string() + "\n")


def test_simulated_boards_put_floor_below_baseline_below_oracle(
    boards: list[BoardEvidence],
) -> None:
    simulated = [item for item in boards if item.suite == "known_truth"]
    for item in simulated:
        for name, constants in item.constants["metrics"].items():
            if not METRICS[name].is_ranked or not constants["trusted"]:
                continue
            sign = 1 if METRICS[name].higher_is_better else -1
            means = sign * unit_means(item, name)
            simple = [n for n, f in item.entries.items() if f.kind == "baseline" and n in means]
            where = f"{item.board.id} {name}"
            assert sign * constants["floor"] < means[simple].max() < means["oracle"], where
