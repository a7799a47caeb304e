"""What a release freezes: digests of splits, and constants that may differ by rounding."""

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from leaderboard.errors import FreezeError
from leaderboard.freeze import RTOL, check_constants, split_digests
from leaderboard.spec import Board, FoldRule

if TYPE_CHECKING:
    from anndata import AnnData


def test_the_digests_of_a_release_are_those_of_its_boards(
    atlas: "AnnData", atlas_board: Board, rule: FoldRule
) -> None:
    random = replace(atlas_board, split="random", matches="donor")
    found = split_digests(atlas.obs, [atlas_board, random], rule)
    assert set(found) == {"cell_type_annotation-donor", "cell_type_annotation-random-donor"}
    assert len(set(found.values())) == 2
    again = split_digests(atlas.obs.iloc[::-1], [atlas_board, random], rule)
    assert again == found


def test_constants_may_differ_by_rounding_and_by_nothing_else() -> None:
    metric = {"floor": 1.0, "trusted": True}
    frozen = {"metrics": {"m": metric}, "responders": ["a", "b"]}
    near = frozen | {"metrics": {"m": metric | {"floor": 1.0 + RTOL / 2}}}
    check_constants(frozen, near, "board")
    for path, value in (("floor", 1.0 + 10 * RTOL), ("trusted", False), ("added", 1.0)):
        far = frozen | {"metrics": {"m": metric | {path: value}}}
        with pytest.raises(FreezeError, match=rf"board\.metrics\.m\.{path}: frozen"):
            check_constants(frozen, far, "board")
    with pytest.raises(FreezeError, match=r"board\.responders: frozen \['a', 'b'\], computed"):
        check_constants(frozen, frozen | {"responders": ["b", "a"]}, "board")
