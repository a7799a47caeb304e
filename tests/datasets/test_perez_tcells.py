"""Donors, pools and lanes of the T and NK cells."""

from collections.abc import Callable
from typing import TYPE_CHECKING

import pandas as pd
import pytest

from leaderboard.datasets.perez_tcells import name_lanes
from leaderboard.errors import ReadError

if TYPE_CHECKING:
    from anndata import AnnData

Read = Callable[[str], "AnnData"]
BARCODE = "ACGTACGTACGTACGT"


def test_lanes_are_numbered_inside_their_batch_by_the_ending() -> None:
    endings = {"1-1-0": "p", "1-1-0-0": "p", "1-2": "q"}
    batch = pd.Series({f"{BARCODE}-{ending}": b for ending, b in endings.items()})
    assert name_lanes(batch).tolist() == ["p/lane_1", "p/lane_2", "q/lane_1"]
    backwards = name_lanes(batch.iloc[::-1]).iloc[::-1]
    pd.testing.assert_series_equal(backwards, name_lanes(batch))


def test_an_ending_that_two_batches_share_is_no_lane() -> None:
    batch = pd.Series({f"{BARCODE}-1": "p", f"{BARCODE[::-1]}-1": "q"})
    with pytest.raises(ReadError, match="every ending of a barcode in one batch"):
        name_lanes(batch)


def test_a_name_that_is_no_barcode_is_refused() -> None:
    with pytest.raises(ReadError, match="16 bases and an ending, got cell_1"):
        name_lanes(pd.Series({"cell_1": "p"}))


# ------------------------------------------------------------------ the real file


@pytest.mark.mirror
def test_only_one_donor_is_in_two_pools(read_real: Read) -> None:
    obs = read_real("perez_tcells").obs
    pools = obs.groupby("donor_id")["batch"].nunique()
    assert pools[pools > 1].to_dict() == {"IGTB195": 2}
    assert obs.loc[obs["donor_id"] == "IGTB195", "batch"].value_counts().to_dict() == {
        "dmx_count_BH7YT2DMXX_YE_0907": 2164,
        "dmx_AbFlare-3": 2087,
    }
    assert set(obs.loc[obs["batch"] == "dmx_flare2", "donor_id"]) == {"IGTB514"}


@pytest.mark.mirror
def test_a_lane_is_in_one_pool_and_holds_every_donor_of_it(read_real: Read) -> None:
    obs = read_real("perez_tcells").obs
    assert obs.groupby("library")["batch"].nunique().max() == 1
    lanes = obs.groupby("batch")["library"].nunique()
    assert lanes.to_dict() == {
        "dmx_AbFlare-3": 4,
        "dmx_count_BH7YT2DMXX_YE_0907": 4,
        "dmx_flare2": 2,
    }
    donors = obs.groupby("library")["donor_id"].nunique().to_dict()
    assert donors == {
        lane: obs.loc[obs["batch"] == lane.split("/")[0], "donor_id"].nunique() for lane in donors
    }


@pytest.mark.mirror
def test_barcodes_meet_again_between_lanes_and_never_inside_one(read_real: Read) -> None:
    """Barcodes are drawn anew in each lane: 156 meet, none in the lane that it came from."""
    obs = read_real("perez_tcells").obs
    barcode = obs.index.to_series().str[:16]
    assert barcode.duplicated().sum() == 156
    assert not pd.DataFrame({"lane": obs["library"], "barcode": barcode}).duplicated().any()


@pytest.mark.mirror
def test_1278_cells_have_no_type_rather_than_a_word_for_none(read_real: Read) -> None:
    types = read_real("perez_tcells").obs["cell_type"]
    assert types.isna().sum() == 1278
    assert types.value_counts()[["NK_dim", "NK_bright"]].to_dict() == {"NK_dim": 27, "NK_bright": 4}
