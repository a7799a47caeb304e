"""``heldout freeze``: the only writer of the lock files in ``data``."""

import subprocess
import sys
from collections.abc import Sequence
from typing import Any

from leaderboard import layout
from leaderboard.cases import draw, split_name
from leaderboard.config import read_params, suite_of
from leaderboard.errors import FreezeError
from leaderboard.freeze import board_constants, check_constants, split_digests
from leaderboard.io import read_h5ad, read_json, write_json

RELEASE = "release"


def freeze(datasets: Sequence[str]) -> list[str]:
    """Freeze the splits and boards of some datasets; return what was added.

    What is frozen already must come out the same, unless ``release`` in params.yaml is new.
    """
    params = read_params()
    splits, boards = _lock(layout.SPLITS_LOCK), _lock(layout.BOARDS_LOCK)
    is_new_release = splits.get(RELEASE) != params.release
    if is_new_release:
        splits, boards = {RELEASE: params.release}, {RELEASE: params.release}
    added = []
    for dataset in datasets:
        suite = suite_of(dataset)
        if not layout.clean(suite, dataset).is_file():
            _reproduce(suite, dataset)
        adata = read_h5ad(layout.clean(suite, dataset))
        digests = split_digests(adata.obs, params.boards_of(dataset), params.folds)
        frozen = splits.setdefault(dataset, {})
        for name, value in digests.items():
            if frozen.setdefault(name, value) != value:
                raise FreezeError(
                    f"{layout.SPLITS_LOCK}: {dataset}.{name} is frozen as {frozen[name][:16]} in "
                    f"release {params.release}, and would become {value[:16]}. A release is never "
                    "edited: undo the change, or set a new `release` in params.yaml."
                )
        for board in params.boards_of(dataset):
            roles, strata = draw(adata.obs, board, params.folds)
            constants = board_constants(adata, roles, strata, board)
            if board.id in boards:
                check_constants(boards[board.id], constants, board.id)
            else:
                boards[board.id] = constants
                added.append(f"{board.id} ({split_name(board)} {digests[split_name(board)][:16]})")
    write_json(layout.SPLITS_LOCK, splits)
    write_json(layout.BOARDS_LOCK, boards)
    return added


def _lock(path: Any) -> dict[str, Any]:
    return dict(read_json(path)) if path.is_file() else {}


def _reproduce(suite: str, dataset: str) -> None:
    """Run the stages that lead to the clean dataset; they depend on no lock."""
    pipeline = "dvc.yaml" if suite == "known_truth" else "data/real/dvc.yaml"
    command = [sys.executable, "-m", "dvc", "repro", f"{pipeline}:validate@{dataset}"]
    if subprocess.run(command, check=False).returncode:  # noqa: S603 (fixed program, checked names)
        raise FreezeError(
            f"{dataset}: `dvc repro {pipeline}:validate@{dataset}` failed; see above."
        )
