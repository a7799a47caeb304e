"""The tiny case of every task, with the folder of its truth; the tiny file of every resource."""

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from leaderboard.cases import build_case, draw
from leaderboard.models import _go
from leaderboard.spec import Board, Case, FoldRule
from tests.plugins._asking import RESOURCES
from tests.plugins._formulas import Known
from tests.plugins._go_sets import tiny_sets, write_sets

if TYPE_CHECKING:
    from anndata import AnnData


@pytest.fixture(scope="session", autouse=True)
def tiny_resources(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Stand in for the outside tables that models declare."""
    folder = tmp_path_factory.mktemp("resources")
    RESOURCES[_go.RESOURCE] = write_sets(folder / _go.RESOURCE, tiny_sets())


CASES = {
    "batch_integration": ("mixing_case", "mixing_truth"),
    "cell_type_annotation": ("atlas_case", "atlas_truth"),
    "gene_network": ("network_case", "network_truth"),
    "gene_property": ("property_case", "property_truth"),
    "modality_prediction": ("proteins_case", "proteins_truth"),
    "perturbation_prediction": ("sampled_case", "screen_truth"),
}


@pytest.fixture
def cases(request: pytest.FixtureRequest) -> dict[str, tuple[Case, Path]]:
    return {
        task: (request.getfixturevalue(case), request.getfixturevalue(truth))
        for task, (case, truth) in CASES.items()
    }


@pytest.fixture(scope="module", params=["perturbation", "combination", "context"])
def case(
    request: pytest.FixtureRequest, screen: "AnnData", screen_board: Board, rule: FoldRule
) -> Case:
    """Unseen singles; pairs with seen, half-seen and unseen singles; an unseen context."""
    board = Board(**{**vars(screen_board), "split": request.param})
    return build_case(screen, draw(screen.obs, board, rule)[0], board, 0, "test")


@pytest.fixture(scope="module")
def known(case: Case) -> Known:
    return Known(case)
