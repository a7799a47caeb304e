"""A random board counts the units that its grouped board counts."""

from dataclasses import replace

import pytest

from leaderboard.inference.collect import gate_of_twin
from leaderboard.spec import Board

GROUPED = Board(
    dataset="screen", task="perturbation_prediction", split="perturbation", variant="k562",
    unit="perturbation", context="cell_line",
)  # fmt: skip
DEALT = replace(GROUPED, split="random", matches="perturbation")
GATE = {
    "responders": ["A"], "weak": ["B"], "noise": ["C"],
    "reliability": {"A": 0.9, "B": 0.4, "C": 0.0},
}  # fmt: skip
LOCK = {
    GROUPED.id: {**GATE, "target_sum": 7.0},
    DEALT.id: {"target_sum": 8.0},
}


def test_the_gate_is_that_of_the_board_it_matches_and_nothing_else() -> None:
    assert DEALT.grouped_id == GROUPED.id == "screen-perturbation_prediction-perturbation-k562"
    assert gate_of_twin(DEALT, LOCK) == GATE


@pytest.mark.parametrize("board", [GROUPED, replace(DEALT, matches="donor"), DEALT])
def test_a_board_without_a_gated_twin_gets_none(board: Board) -> None:
    lock = {k: v for k, v in LOCK.items() if board is not DEALT or k != GROUPED.id}
    assert gate_of_twin(board, lock) == {}
