"""The ``heldout`` command line."""

from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Annotated, Any

import typer

from leaderboard.errors import HeldoutError

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Maintain a Heldout leaderboard. Run from the root of the repository.",
)


def _command(function: Callable[..., None]) -> Callable[..., None]:
    """Register a command whose errors on purpose end in one line and exit code 1."""

    @wraps(function)
    def guarded(*args: Any, **kwargs: Any) -> None:
        try:
            function(*args, **kwargs)
        except HeldoutError as error:
            typer.echo(f"ERROR {type(error).__name__}: {error}", err=True)
            raise typer.Exit(1) from None

    app.command()(guarded)
    return guarded


@_command
def sync(
    check: Annotated[bool, typer.Option("--check", help="Change nothing; fail if stale.")] = False,  # noqa: FBT002
) -> None:
    """Write every entry's dvc.yaml from its entry.yaml and the boards of params.yaml."""
    from leaderboard.submission import sync as syncing  # noqa: PLC0415

    if check:
        syncing.check()
        typer.echo("Every dvc.yaml is what its entry.yaml gives.")
        return
    changed = syncing.sync()
    typer.echo(f"Written: {', '.join(changed)}." if changed else "Nothing to write.")


@_command
def freeze(
    datasets: Annotated[list[str] | None, typer.Argument(help="Datasets to freeze.")] = None,
    every: Annotated[bool, typer.Option("--all", help="Freeze every dataset with boards.")] = False,  # noqa: FBT002
) -> None:
    """Freeze split digests and board constants; the only writer of data/*.lock.json."""
    from leaderboard.config import read_params  # noqa: PLC0415
    from leaderboard.errors import ConfigError  # noqa: PLC0415
    from leaderboard.submission.freezing import freeze as freeze_datasets  # noqa: PLC0415

    names = [d for d, boards in read_params().boards.items() if boards] if every else datasets or []
    if not names:
        raise ConfigError("Name the datasets to freeze, or say --all.")
    added = freeze_datasets(names)
    for line in added:
        typer.echo(f"frozen: {line}")
    typer.echo("Commit data/splits.lock.json and data/boards.lock." if added else "Unchanged.")


@_command
def scores(suite: Annotated[str, typer.Argument(help="known_truth or public_small.")]) -> None:
    """Print the mean of every ranked metric of a suite's score tables."""
    from leaderboard.submission.summary import print_scores  # noqa: PLC0415

    print_scores(suite)


@_command
def adversaries() -> None:
    """Print how what is built to game a score fares; exit 1 if it wins where ranks are given."""
    from leaderboard.submission.summary import print_adversaries  # noqa: PLC0415

    beaten = print_adversaries()
    if beaten:
        typer.echo(f"{beaten} ranked metric(s) can be gamed.", err=True)
        raise typer.Exit(1)


@_command
def trust() -> None:
    """Print which metrics every board trusts, and why not."""
    from leaderboard.submission.summary import print_trust  # noqa: PLC0415

    print_trust()


@_command
def recall(
    board: Annotated[str, typer.Argument(help="Id of an annotation board.")],
    label: Annotated[str, typer.Argument(help="A cell type, as the board writes it.")],
) -> None:
    """Print how well every entry finds one cell type in units that it never saw."""
    from leaderboard.submission.failures import print_label  # noqa: PLC0415

    print_label(board, label)


@_command
def boards(
    readme: Annotated[Path | None, typer.Option(help="A file whose table to renew.")] = None,
) -> None:
    """Print every board in a line of Markdown, or put them into README."""
    from leaderboard.submission.readme import board_table, update_readme  # noqa: PLC0415

    if readme is None:
        typer.echo(board_table())
    else:
        typer.echo(f"{readme}: {'renewed' if update_readme(readme) else 'unchanged'}.")


@_command
def publish() -> None:
    """Promote score tables, of simulated data the full tier's, into leaderboard/results."""
    from leaderboard.submission.publish import publish as publish_results  # noqa: PLC0415

    for line in publish_results():
        typer.echo(line)
