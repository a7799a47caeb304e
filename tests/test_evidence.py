"""Every prediction of a board is scored: none is missing, none is left lying."""

from pathlib import Path

import pytest

from leaderboard import layout
from leaderboard.errors import PredictionError
from leaderboard.evidence import check_files


def test_each_fold_and_seed_and_no_other_is_scored(tmp_path: Path) -> None:
    for fold in range(2):
        for seed in range(3):
            path = tmp_path / layout.prediction_name(fold, seed)
            path.touch()
            layout.cells_of(path).touch()
    (tmp_path / "status.json").touch()
    check_files(tmp_path, 2, [0, 1, 2])
    with pytest.raises(PredictionError, match=r"not asked for \['fold-0-seed-1.parquet'"):
        check_files(tmp_path, 2, [0])
    with pytest.raises(PredictionError, match=r"not asked for \['fold-1-seed-0.parquet'"):
        check_files(tmp_path, 1, [0, 1, 2])
    with pytest.raises(PredictionError, match=r"missing \['fold-0-seed-3.parquet'"):
        check_files(tmp_path, 2, [0, 1, 2, 3])
