"""What nobody solves, board by board: the page across boards."""

from collections.abc import Mapping

from leaderboard.site.boards import BoardPage
from leaderboard.site.records import SiteData


def build_atlas(
    data: SiteData, boards: Mapping[str, BoardPage]
) -> tuple[tuple[str, tuple[BoardPage, ...]], ...]:
    """Return task label and boards that have something to solve, real boards first."""
    found = []
    for name, task in sorted(data.tasks.items()):
        pages = [
            page for page in boards.values() if page.task == name and (page.unsolved or page.recall)
        ]
        if pages:
            pages.sort(key=lambda page: (page.origin.kind != "real", page.id))
            found.append((task.label, tuple(pages)))
    return tuple(found)
