"""Kang 2018, both arms: blood cells of 8 lupus patients, unstimulated or 6 h with interferon beta.

Put together from three repositories, since none holds counts, donors and labels:

- counts: ``pbmc_stim.RData`` of the R package harmony, 1,000 cells of each arm;
- donors: demuxlet's calls on the same barcodes; doublets and ambiguous droplets are dropped;
- cell types: the authors' labels that the R package muscat carries, for nearly all control cells
  and for few stimulated ones. The others get a label from their nearest labelled neighbours, and
  ``cell_type_source`` says which: ``author`` or ``knn``.

Each arm is one 10x library, so library and perturbation cannot be told apart.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from scipy import sparse

from leaderboard.datasets._r import Matrix, counts_csr, read_r
from leaderboard.errors import ReadError
from leaderboard.spec import CONTROL, Source

if TYPE_CHECKING:
    from anndata import AnnData

Dense = np.ndarray[tuple[int, int], np.dtype[np.float64]]

N_GENES, N_COMPONENTS, N_NEIGHBOURS = 1500, 20, 15
_BARCODE = r"^([ACGT]{14}-1)1?$"
"""harmony appended a digit to the stimulated barcodes that the control arm has too."""


@dataclass(frozen=True, kw_only=True)
class Arm:
    """One of the two libraries."""

    library: str
    calls_file: str
    condition: str
    perturbation: str


ARMS = (
    Arm(
        library="ctrl",
        calls_file="ye1.ctrl.8.10.sm.best",
        condition=CONTROL,
        perturbation=CONTROL,
    ),
    Arm(
        library="stim",
        calls_file="ye2.stim.8.10.sm.best",
        condition="stimulated",
        perturbation="IFNB1",
    ),
)


def read(folder: Path) -> "AnnData":
    """Read the singlets of both arms, named ``<library>_<barcode>``."""
    from anndata import AnnData

    saved = read_r(folder / "pbmc_stim.RData")
    matrices = [saved.item(f"pbmc.{arm.library}").matrix() for arm in ARMS]
    genes = _shared_genes(matrices, saved.where)
    obs = pd.concat([_read_arm(folder, a, m) for a, m in zip(ARMS, matrices, strict=True)])
    counts = counts_csr(sparse.vstack([_cells_by_genes(m) for m in matrices]), saved.where)

    is_singlet = obs["donor_id"].notna().to_numpy()
    counts, obs = counts[is_singlet], obs[is_singlet]
    is_seen = counts.getnnz(axis=0) > 0
    counts, genes = counts[:, is_seen], genes[is_seen]
    obs = _with_cell_types(obs, counts, _read_author_labels(folder))
    return AnnData(X=counts, obs=obs, var=pd.DataFrame(index=genes))


def transfer_labels(
    counts: sparse.csr_matrix, library: "pd.Series[str]", labels: "pd.Series[str]"
) -> "pd.Series[str]":
    """Give every cell without a label the label of its nearest labelled neighbours.

    Counts are log-normalised to 10,000 per cell. The 1,500 genes of highest variance are centred
    and scaled inside each library, which removes the response to interferon as far as all cells
    share it, clipped at 5 standard deviations, and reduced to 20 principal components by a full
    (not randomised) decomposition. The 15 nearest labelled cells of either library vote, weighted
    by inverse distance. Cells are first put in the order of their ids, so that the order in which
    they come cannot change a label through rounding.

    Parameters
    ----------
    counts
        Cells x genes, in the order of ``library`` and ``labels``.
    library
        Indexed by cell id.
    labels
        Indexed by cell id; missing where a label is wanted.

    Returns
    -------
    The labels of all cells, those that were known unchanged.
    """
    from sklearn.decomposition import PCA
    from sklearn.neighbors import KNeighborsClassifier

    order = np.argsort(labels.index.to_numpy())
    scaled = _scale_by_library(_variable_genes(counts[order]), library.to_numpy()[order])
    components = PCA(N_COMPONENTS, svd_solver="full").fit_transform(scaled)
    known = labels.notna().to_numpy()[order]
    voters = KNeighborsClassifier(N_NEIGHBOURS, weights="distance", algorithm="brute")
    voters.fit(components[known], labels.iloc[order[known]].astype(str))
    filled = labels.copy()
    filled.iloc[order[~known]] = voters.predict(components[~known])
    return filled


def _cells_by_genes(matrix: Matrix) -> sparse.csr_matrix:
    return sparse.csr_matrix(matrix.entries.T)


def _shared_genes(matrices: list[Matrix], where: str) -> "pd.Index[str]":
    control, stimulated = (m.rows for m in matrices)
    if control is None or stimulated is None or not control.equals(stimulated):
        raise ReadError(f"{where}: expected the same genes in both arms, in the same order.")
    return control


def _read_arm(folder: Path, arm: Arm, matrix: Matrix) -> pd.DataFrame:
    """Tell the donor of each cell of an arm; missing where demuxlet saw no single donor."""
    where = f"pbmc_stim.RData$pbmc.{arm.library}"
    names = pd.Series(matrix.columns, dtype=object)
    barcodes = names.str.extract(_BARCODE, expand=False)
    donors = _read_singlets(folder / arm.calls_file)
    if barcodes.isna().any() or barcodes.duplicated().any():
        raise ReadError(f"{where}: expected distinct barcodes of 14 bases, got {names[0]} ...")
    return pd.DataFrame(
        {
            "donor_id": barcodes.map(donors).to_numpy(),
            "condition": arm.condition,
            "perturbation": arm.perturbation,
            "library": arm.library,
        },
        index=pd.Index(arm.library + "_" + barcodes, name="cell_id"),
    )


def _read_singlets(path: Path) -> "pd.Series[str]":
    """Read demuxlet's table: the donor of each barcode that it calls a singlet."""
    columns = ["BARCODE", "BEST", "SNG.1ST"]
    try:
        calls = pd.read_csv(path, sep="\t", usecols=columns, dtype=str)
    except (OSError, ValueError) as error:
        raise ReadError(f"{path.name}: expected a table with {columns}, got {error}") from error
    singlets = calls[calls["BEST"].str.startswith("SNG-")]
    return singlets.set_index("BARCODE")["SNG.1ST"]


def _read_author_labels(folder: Path) -> "pd.Series[str]":
    """Read the authors' labels of both arms, indexed by ``<library>_<barcode>``."""
    control = _read_cells(folder / "kang_se.rda", "cluster_id")
    both = _read_cells(folder / "example_sce.rda", "cluster_id", "group_id")
    control.index = "ctrl_" + control.index
    both.index = both["group_id"].astype(str) + "_" + both.index
    labels = pd.concat([control["cluster_id"].astype(str), both["cluster_id"].astype(str)])
    return labels[~labels.index.duplicated()]


def _read_cells(path: Path, *columns: str) -> pd.DataFrame:
    return read_r(path).item(path.stem).slot("colData").frame(columns)


def _with_cell_types(
    obs: pd.DataFrame, counts: sparse.csr_matrix, author: "pd.Series[str]"
) -> pd.DataFrame:
    labels = author.reindex(obs.index)
    source = np.where(labels.notna(), "author", "knn")
    filled = transfer_labels(counts, obs["library"], labels)
    return obs.assign(cell_type=filled, cell_type_source=source)


def _variable_genes(counts: sparse.csr_matrix) -> Dense:
    """Log-normalise, and keep the genes of highest variance (ties: the first)."""
    values = counts.toarray().astype(np.float64)
    values = np.log1p(values * (1e4 / values.sum(axis=1, keepdims=True)))
    chosen: Dense = values[:, np.argsort(-values.var(axis=0), kind="stable")[:N_GENES]]
    return chosen


def _scale_by_library(values: Dense, library: "np.ndarray[Any, np.dtype[np.object_]]") -> Dense:
    scaled = np.empty_like(values)
    for name in np.unique(library):
        own = values[library == name]
        # The constant keeps a gene that hardly varies in one library from being blown up.
        scaled[library == name] = (own - own.mean(axis=0)) / (own.std(axis=0) + 1e-3)
    return np.clip(scaled, -5, 5)


SOURCE = Source(name="kang_ifnb", read=read)
