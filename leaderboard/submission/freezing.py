"""``heldout freeze``: the only writer of the lock files in ``data``."""

import subprocess
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from leaderboard import layout
from leaderboard.cases import draw, split_name
from leaderboard.config import read_board_lock, read_params, suite_of
from leaderboard.errors import FreezeError
from leaderboard.freeze import board_constants, check_constants, split_digests
from leaderboard.io import read_h5ad, read_json, write_json

RELEASE = "release"


def freeze(datasets: Sequence[str]) -> list[str]:
    """Freeze the splits and boards of some datasets; return what was added.

    What is frozen already must come out the same, unless ``release`` in params.yaml is new.
    """
    params = read_params()
    splits = dict(read_json(layout.SPLITS_LOCK)) if layout.SPLITS_LOCK.is_file() else {}
    is_new_release = splits.get(RELEASE) != params.release
    if is_new_release:
        splits = {RELEASE: params.release}
    added: list[str] = []
    locks: dict[str, dict[str, Any]] = {}
    for dataset in datasets:
        suite = suite_of(dataset)
        if not layout.clean(suite, dataset).is_file():
            _reproduce(suite, dataset)
        adata = read_h5ad(layout.clean(suite, dataset))
        digests = split_digests(adata.obs, params.boards_of(dataset), params.folds)
        _add_digests(splits.setdefault(dataset, {}), digests, dataset, params.release)
        boards = locks[dataset] = {} if is_new_release else read_board_lock(dataset)
        for board in params.boards_of(dataset):
            roles, strata = draw(adata.obs, board, params.folds)
            constants = board_constants(adata, roles, strata, board)
            if board.id in boards:
                check_constants(boards[board.id], constants, board.id)
            else:
                boards[board.id] = constants
                added.append(f"{board.id} ({split_name(board)} {digests[split_name(board)][:16]})")
    _write(splits, locks, is_new_release=is_new_release)
    return added


def _add_digests(
    frozen: dict[str, str], found: Mapping[str, str], dataset: str, release: str
) -> None:
    for name, value in found.items():
        if frozen.setdefault(name, value) != value:
            raise FreezeError(
                f"{layout.SPLITS_LOCK}: {dataset}.{name} is frozen as {frozen[name][:16]} in "
                f"release {release}, and would become {value[:16]}. A release is never edited: "
                "undo the change, or set a new `release` in params.yaml."
            )


def _write(splits: Any, locks: dict[str, dict[str, Any]], *, is_new_release: bool) -> None:
    """Write the lock files; a new release drops those of datasets that are not frozen in it.

    The digests come last: a freeze that was interrupted begins anew.
    """
    if is_new_release:
        for path in layout.BOARD_LOCKS.glob("*.json"):
            path.unlink()
    for dataset, boards in locks.items():
        if boards:
            write_json(layout.board_lock(dataset), boards)
    write_json(layout.SPLITS_LOCK, splits)


def _reproduce(suite: str, dataset: str) -> None:
    """Run the stages that lead to the clean dataset; they depend on no lock."""
    pipeline = "dvc.yaml" if suite == "known_truth" else "data/real/dvc.yaml"
    command = [sys.executable, "-m", "dvc", "repro", f"{pipeline}:validate@{dataset}"]
    if subprocess.run(command, check=False).returncode:  # noqa: S603 (fixed program, checked names)
        raise FreezeError(
            f"{dataset}: `dvc repro {pipeline}:validate@{dataset}` failed; see above."
        )
