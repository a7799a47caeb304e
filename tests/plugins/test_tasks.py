"""Every task, splitter and source keeps the promises of its kind."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pytest

from leaderboard.cases import check_roles, digest, draw
from leaderboard.config import read_datasets, read_params
from leaderboard.datasets import SOURCES
from leaderboard.errors import SplitError
from leaderboard.metrics import METRICS
from leaderboard.models import MODELS
from leaderboard.spec import Board, BoardLine, FoldRule, Source, Splitter, Task
from leaderboard.splits import SPLITTERS
from leaderboard.submission.entry import read_entries
from leaderboard.tasks import TASKS
from tests.plugins._examples import UNITS, each
from tests.splits._obs import HOLDING_OUT

if TYPE_CHECKING:
    from anndata import AnnData


@each(TASKS)
def test_a_task_has_a_question_and_a_ranked_metric_to_sort_by(plugin: Task) -> None:
    assert plugin.question.endswith("?")
    ranked = {m.name for m in METRICS.values() if m.is_ranked and plugin.name in m.tasks}
    assert plugin.ranked_order[0] in ranked
    assert ranked == set(plugin.ranked_order)
    assert plugin.name in UNITS


@each(TASKS)
def test_the_declared_baselines_of_a_task_are_entries_of_the_tree_that_answer_it(
    in_root: Path, plugin: Task
) -> None:
    assert in_root.is_dir()
    entries = read_entries()
    assert len(plugin.declared_baselines) >= 2
    for name in plugin.declared_baselines:
        assert entries[name].baseline
        assert any(plugin.name in MODELS[m].tasks for m in entries[name].models())


@each(TASKS)
def test_a_task_has_the_controls_that_must_win_and_lose(plugin: Task) -> None:
    seeing = [m for m in MODELS.values() if m.sees_truth and plugin.name in m.tasks]
    assert {"oracle", "shuffled"} <= {m.name for m in seeing}


@each(TASKS)
def test_a_task_has_adversaries_that_are_among_the_controls_of_the_tree(
    in_root: Path, plugin: Task
) -> None:
    assert in_root.is_dir()
    hostile = {m.name for m in MODELS.values() if m.is_adversary and plugin.name in m.tasks}
    assert {"constant", "depth_only", "nan_filler"} <= hostile
    run = {m for e in read_entries().values() if e.kind == "controls" for m in e.models()}
    assert hostile <= run


@each(SPLITTERS)
def test_a_splitter_says_which_column_it_holds_out(plugin: Splitter) -> None:
    line = BoardLine(
        task="perturbation_prediction", split=plugin.name, unit="perturbation", context="cell_line"
    )
    known = {
        "donor": "donor_id", "batch": "batch", "tissue": "tissue", "time": "time",
        "condition": "condition", "perturbation": "perturbation", "context": "cell_line",
        "combination": "perturbation", "random": None, "whole": None,
    }  # fmt: skip
    assert plugin.name in known, "say here which column a new split holds out"
    assert plugin.column(line) == known[plugin.name]


def board_of(name: str) -> Board:
    task = "perturbation_prediction"
    return Board(
        dataset="tiny_screen", task=task, split=name, unit="perturbation", context="cell_type",
        matches="perturbation" if name == "random" else None,
    )  # fmt: skip


def drawn(screen: "AnnData", board: Board, rule: FoldRule) -> tuple[pd.DataFrame, pd.DataFrame]:
    obs = screen.obs.assign(
        tissue=screen.obs["donor_id"], time=screen.obs["batch"], condition=screen.obs["donor_id"]
    )
    roles, strata = draw(obs, board, rule)
    check_roles(roles, obs, board)
    return roles, strata


@pytest.mark.parametrize("plugin", HOLDING_OUT, ids=lambda s: str(s.name))
def test_a_splitter_cuts_the_tiny_screen_the_same_whatever_the_order_of_cells(
    screen: "AnnData", rule: FoldRule, plugin: Splitter
) -> None:
    board = board_of(plugin.name)
    order = np.random.default_rng(2).permutation(screen.n_obs)
    one, two = drawn(screen, board, rule), drawn(screen[order].copy(), board, rule)
    assert digest(*one) == digest(*two)
    assert one[0]["fold"].nunique() >= 2
    assert {"train", "test", "control_input", "control_truth"} <= set(one[0]["role"])


def test_a_board_without_the_column_of_its_split_is_refused(
    screen: "AnnData", rule: FoldRule
) -> None:
    with pytest.raises(SplitError, match="tissue"):
        draw(screen.obs, board_of("tissue"), rule)


@each(SOURCES)
def test_a_source_serves_a_dataset_and_can_do_what_its_record_asks(
    in_root: Path, plugin: Source
) -> None:
    assert in_root.is_dir()
    served = [
        (suite, name, record)
        for suite, records in read_datasets().items()
        for name, record in records.items()
        if record.source == plugin.name
    ]
    assert served
    for suite, name, record in served:
        assert callable(plugin.read)
        assert bool(record.parameters) == (plugin.simulate is not None)
        assert (suite == "known_truth") == (plugin.simulate is not None)
        asks = {board.task for board in read_params().boards_of(name)}
        if suite == "known_truth" and "perturbation_prediction" in asks:
            assert plugin.true_profiles is not None


def test_every_record_names_a_source_that_exists(in_root: Path) -> None:
    assert in_root.is_dir()
    for records in read_datasets().values():
        assert {record.source for record in records.values()} <= set(SOURCES)
