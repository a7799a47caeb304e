"""What the front page shows: boards by task, and every entry."""

from collections.abc import Mapping
from dataclasses import dataclass

from leaderboard.site import text
from leaderboard.site.boards import BoardPage
from leaderboard.site.entries import EntryPage
from leaderboard.site.origin import Origin, build_origin
from leaderboard.site.records import SiteData
from leaderboard.site.scale import Numbers
from leaderboard.spec import Board


@dataclass(frozen=True, kw_only=True)
class FrontLine:
    """One board, with or without standings."""

    title: str
    dataset: str
    dataset_title: str
    origin: Origin
    page: BoardPage | None
    inflation: str
    """Lowest and highest over models and baselines; blank without a random board."""
    twin: str


@dataclass(frozen=True, kw_only=True)
class FrontPage:
    """The front page."""

    groups: tuple[tuple[str, str, tuple[FrontLine, ...]], ...]
    """Label and question of a task, and its boards."""
    entries: tuple[EntryPage, ...]
    n_ranked: int
    n_boards: int
    n_models: int
    n_winners: int
    """Models that beat every simple baseline of some board."""
    n_recomputed: int
    n_committed: int


def build_front(
    data: SiteData, boards: Mapping[str, BoardPage], entries: Mapping[str, EntryPage]
) -> FrontPage:
    """Return the front page. Random boards have no line of their own."""
    grouped = [board for board in data.boards if not board.is_random]
    shown = [page for page in boards.values() if not page.facts["is_random"]]
    models = {
        row.entry for p in shown for t in p.tables[:1] for row in t.rows if row.kind == "model"
    }
    winners = {name for page in shown for name in page.finding.beats}
    return FrontPage(
        groups=tuple(
            (
                task.label,
                task.question,
                tuple(_line(data, boards, b) for b in grouped if b.task == name),
            )
            for name, task in data.tasks.items()
        ),
        entries=tuple(sorted(entries.values(), key=_entry_order)),
        n_ranked=sum(page.ranked for page in shown),
        n_boards=len(grouped),
        n_models=len(models),
        n_winners=len(winners),
        n_recomputed=sum(page.origin.is_recomputed for page in shown),
        n_committed=sum(not page.origin.is_recomputed for page in shown),
    )


def _entry_order(page: EntryPage) -> tuple[int, str]:
    return ("model", "baseline", "controls").index(page.record.kind), page.id


def _line(data: SiteData, boards: Mapping[str, BoardPage], board: Board) -> FrontLine:
    dataset = data.datasets[board.dataset]
    page = boards.get(board.id)
    return FrontLine(
        title=text.held_out(board.split_key),
        dataset=board.dataset,
        dataset_title=dataset.record.title,
        origin=page.origin if page else build_origin(dataset.source, dataset.suite),
        page=page,
        inflation=_inflation(data, page),
        twin=page.twin if page else "",
    )


def _inflation(data: SiteData, page: BoardPage | None) -> str:
    """Return the lowest and highest inflation among models and baselines."""
    if page is None or page.sorted_by is None:
        return ""
    standings = data.standings[page.id]
    cells = [r["metrics"][page.sorted_by] for r in standings["rows"] if r["kind"] != "control"]
    found = sorted(cell["inflation"]["mean"] for cell in cells if cell.get("inflation"))
    if not found:
        return ""
    write = Numbers(is_log=page.tables[0].is_log).lead
    ends = list(dict.fromkeys((write(found[0]), write(found[-1]))))
    return " to ".join(ends)
