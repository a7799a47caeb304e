"""Two datasets that are less than they seem: what is wrong with each is pinned here.

``gut_scp1884`` holds no cells but values shuffled gene by gene inside each type; ``ipsc_cm`` has
no label but the day. The tests that find the first one's fault find none in the second.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest

from leaderboard.datasets.gut_scp1884 import _describe as describe_gut
from leaderboard.datasets.ipsc_cm import _describe as describe_ipsc
from leaderboard.errors import ReadError

if TYPE_CHECKING:
    from anndata import AnnData

Read = Callable[[str], "AnnData"]
Array = np.ndarray[Any, np.dtype[np.float64]]
Y_GENES = ["RPS4Y1", "DDX3Y", "EIF1AY", "UTY", "KDM5D", "USP9Y"]


def is_seen(adata: "AnnData", genes: list[str]) -> "np.ndarray[Any, np.dtype[np.bool_]]":
    return np.asarray(adata[:, genes].X.sum(axis=1)).ravel() > 0


def structure(counts: Array, rng: np.random.Generator) -> float:
    """First eigenvalue of the correlations of genes, over its mean where genes are shuffled."""
    log = np.log1p(counts / counts.sum(axis=1, keepdims=True) * np.median(counts.sum(axis=1)))
    kept = log[:, ((log > 0).mean(axis=0) > 0.2) & (log.std(axis=0) > 0)]
    scaled = (kept - kept.mean(axis=0)) / kept.std(axis=0)
    shuffled = [rng.permuted(scaled, axis=0) for _ in range(3)]
    first = [np.linalg.svd(x, compute_uv=False)[0] ** 2 for x in (scaled, *shuffled)]
    return float(first[0] / np.mean(first[1:]))


def median_structure(adata: "AnnData", n_types: int) -> float:
    rng = np.random.default_rng(0)
    labels = adata.obs["cell_type"].to_numpy()
    values = []
    for label in np.unique(labels)[:n_types]:
        own = np.flatnonzero(labels == label)[:15]
        values.append(structure(adata.X[own].toarray().astype(float), rng))
    return float(np.median(values))


# ------------------------------------------------------------------ gut_scp1884


@pytest.mark.mirror
def test_genes_of_both_sexes_meet_in_a_profile_as_often_as_chance_has_it(read_real: Read) -> None:
    adata = read_real("gut_scp1884")
    female, male = is_seen(adata, ["XIST"]), is_seen(adata, Y_GENES)
    table = pd.DataFrame({"f": female, "m": male, "type": adata.obs["cell_type"].to_numpy()})
    share = table.groupby("type")[["f", "m"]].mean()
    chance = (share["f"] * share["m"] * 15).sum()
    assert (int(female.sum()), int(male.sum()), int((female & male).sum())) == (143, 504, 64)
    assert chance == pytest.approx(63.47, abs=0.01)


@pytest.mark.mirror
def test_genes_of_a_type_have_no_structure_in_the_gut_and_some_in_the_heart(
    read_real: Read,
) -> None:
    assert median_structure(read_real("gut_scp1884"), 20) < 1.1
    assert median_structure(read_real("ipsc_cm"), 5) > 1.3


@pytest.mark.mirror
def test_the_donor_of_an_id_is_not_the_donor_of_the_column(read_real: Read) -> None:
    obs = read_real("gut_scp1884").obs
    in_id = obs.index.to_series().str.extract(r"^N(\d+)_", expand=False).dropna()
    in_column = obs.loc[in_id.index, "donor_id"].str.removeprefix("N")
    chance = (in_id.value_counts(normalize=True) * in_column.value_counts(normalize=True)).sum()
    assert (len(in_id), int((in_id == in_column).sum())) == (670, 21)
    assert chance * len(in_id) == pytest.approx(25.28, abs=0.01)


@pytest.mark.mirror
def test_total_and_number_of_genes_alone_tell_the_type(read_real: Read) -> None:
    """The nearest other profile in both logs has the same type more often than chance has it."""
    adata = read_real("gut_scp1884")
    total = np.asarray(adata.X.sum(axis=1)).ravel()
    depth = np.log(np.stack([total, np.diff(adata.X.indptr)], axis=1))
    depth = (depth - depth.mean(axis=0)) / depth.std(axis=0)
    distance = np.square(depth[:, None] - depth[None]).sum(axis=2)
    np.fill_diagonal(distance, np.inf)
    labels = adata.obs["cell_type"].to_numpy()
    assert (labels[distance.argmin(axis=1)] == labels).mean() > 0.5
    spread = pd.Series(total).groupby(labels).agg(lambda own: own.std() / own.mean())
    assert spread.median() < 0.1


@pytest.mark.mirror
def test_every_type_has_15_profiles_and_a_donor_hardly_5_of_one(read_real: Read) -> None:
    obs = read_real("gut_scp1884").obs
    assert (obs["cell_type"].value_counts() == 15).all()
    assert obs["donor_id"].nunique() == 69
    pairs = obs.value_counts(["donor_id", "cell_type"])
    assert pairs[pairs >= 5].to_dict() == {
        ("130064", "Monocytes HBB"): 5,
        ("130064", "Stem cells OLFM4 GSTA1"): 5,
    }


def test_a_batch_tells_the_tissue_or_is_refused() -> None:
    cells = pd.DataFrame({"Celltype": "T", "donor_id": "N1", "batch": ["TI_EPI.scp", "CO_IMM.scp"]})
    described = describe_gut(cells)
    assert described["tissue"].tolist() == ["terminal ileum", "colon"]
    assert described["batch"].tolist() == ["TI_EPI", "CO_IMM"]
    with pytest.raises(ReadError, match="expected batches of TI or CO, got RE_EPI"):
        describe_gut(cells.assign(batch="RE_EPI.scp"))


# ------------------------------------------------------------------ ipsc_cm


@pytest.mark.mirror
def test_label_and_time_are_one(read_real: Read) -> None:
    obs = read_real("ipsc_cm").obs
    assert (obs["time"].str.removeprefix("day_") == obs["cell_type"].str.removeprefix("D")).all()


@pytest.mark.mirror
def test_days_are_the_days_of_heart_muscle(read_real: Read) -> None:
    adata = read_real("ipsc_cm")
    genes = ["POU5F1", "TNNT2", "MYL2"]
    table = pd.DataFrame(adata[:, genes].X.toarray(), columns=genes)
    mean = table.groupby(adata.obs["time"].to_numpy()).mean()
    assert mean["POU5F1"].idxmax() == "day_0"
    assert mean["TNNT2"].idxmin() == "day_0"
    assert mean["MYL2"].idxmax() == "day_60"


@pytest.mark.mirror
def test_counts_are_of_reads(read_real: Read) -> None:
    """Counts of molecules hardly pass a few tens of thousands in a cell."""
    totals = np.asarray(read_real("ipsc_cm").X.sum(axis=1)).ravel()
    assert np.median(totals) == 215511


def test_a_group_that_is_no_day_is_refused() -> None:
    assert describe_ipsc(pd.Series(["D6"]), 1, "here")["time"].tolist() == ["day_6"]
    with pytest.raises(ReadError, match="here: expected a group like D6"):
        describe_ipsc(pd.Series(["late"]), 1, "here")
    with pytest.raises(ReadError, match="for each of 2 cells"):
        describe_ipsc(pd.Series(["D6"]), 2, "here")
