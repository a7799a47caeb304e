"""Every board by every metric that may rank: trusted or not, and why, at one glance."""

from collections.abc import Mapping
from dataclasses import dataclass

from leaderboard.site import text
from leaderboard.site.boards import BoardPage
from leaderboard.site.origin import Origin, build_origin
from leaderboard.site.records import SiteData
from leaderboard.site.trust import Trust
from leaderboard.spec import Board


@dataclass(frozen=True, kw_only=True)
class OverviewLine:
    """One board; its metrics in the order of the task, None where it has no value of one."""

    dataset: str
    title: str
    page: BoardPage | None
    origin: Origin
    units: str
    """How many of its units carry signal, or how many there are."""
    cells: tuple[Trust | None, ...]


@dataclass(frozen=True, kw_only=True)
class TaskOverview:
    """The boards of one task."""

    label: str
    metrics: tuple[str, ...]
    groups: tuple[tuple[str, tuple[OverviewLine, ...]], ...]
    """Real data first, then simulated."""


@dataclass(frozen=True, kw_only=True)
class Overview:
    """The page."""

    tasks: tuple[TaskOverview, ...]
    counts: tuple[tuple[str, str, int], ...]
    """Mark, state and how many pairs of a real board and a metric are in it."""


def build_overview(data: SiteData, pages: Mapping[str, BoardPage]) -> Overview:
    """Return the overview of all boards that could rank; random boards cannot."""
    tasks = tuple(_task(data, pages, name) for name in data.tasks)
    found = [
        cell
        for task in tasks
        for _, lines in task.groups
        for line in lines
        if line.origin.kind == "real"
        for cell in line.cells
        if cell is not None
    ]
    states = dict.fromkeys((cell.mark, cell.state) for cell in sorted(found, key=_severity))
    return Overview(
        tasks=tasks,
        counts=tuple(
            (mark, state, sum(cell.state == state for cell in found)) for mark, state in states
        ),
    )


def _severity(cell: Trust) -> tuple[int, str]:
    return ("pass", "warn", "fail").index(cell.mark), cell.state


def _task(data: SiteData, pages: Mapping[str, BoardPage], name: str) -> TaskOverview:
    task = data.tasks[name]
    boards = [board for board in data.boards if board.task == name and not board.is_random]
    lines = [_line(data, pages, board) for board in boards]
    groups = (
        (title, tuple(line for line in lines if line.origin.kind == kind))
        for kind, title in (("real", "Real data"), ("simulated", "Simulated data, known truth"))
    )
    return TaskOverview(
        label=task.label,
        metrics=tuple(data.metrics[m].label for m in task.ranked),
        groups=tuple((title, members) for title, members in groups if members),
    )


def _line(data: SiteData, pages: Mapping[str, BoardPage], board: Board) -> OverviewLine:
    dataset = data.datasets[board.dataset]
    page = pages.get(board.id)
    known = {trust.name: trust for trust in page.trust} if page else {}
    units = page.units if page else ""
    if page and page.signal:
        units = (
            f"{page.signal.responders} of {page.signal.n} {text.unit_word(board.unit, 2)} respond"
        )
    return OverviewLine(
        dataset=board.dataset,
        title=text.held_out(board.split_key),
        page=page,
        origin=page.origin if page else build_origin(dataset.source, dataset.suite),
        units=units,
        cells=tuple(known.get(metric) for metric in data.tasks[board.task].ranked),
    )
