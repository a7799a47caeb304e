"""The tiny case of every task, with the folder of its truth."""

from pathlib import Path

import pytest

from leaderboard.spec import Case


@pytest.fixture
def cases(
    atlas_case: Case, atlas_truth: Path, sampled_case: Case, screen_truth: Path
) -> dict[str, tuple[Case, Path]]:
    return {
        "cell_type_annotation": (atlas_case, atlas_truth),
        "perturbation_prediction": (sampled_case, screen_truth),
    }
