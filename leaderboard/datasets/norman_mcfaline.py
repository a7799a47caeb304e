"""Norman 2019 and McFaline-Figueroa 2023: CRISPR screens in four cell lines, 500 genes.

``devel.h5ad`` of PerturBench joins a screen by activation in K562, single genes and pairs, with
one by interference in A172, T98G and U87MG, single genes only. It stores ``log1p(k u)`` with
``k`` the count and ``u`` one unit a cell (10,000 by the total of the genes that PerturBench kept),
in double precision, so counts come back exactly: see ``recover_counts``. ``ncounts``, the cell's
total over all genes, is kept as ``total_counts_all_genes``.

Study, cell line and kind of perturbation cannot be told apart between K562 and the rest. A barcode
of K562 ends in the number of its 10x lane; the other screen is one library of combinatorial
indexing, as far as the file tells. The lines other than K562 carry hardly any signal.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from scipy import sparse

from leaderboard.datasets._h5ad import as_text, read_raw
from leaderboard.datasets._r import counts_csr
from leaderboard.errors import ReadError
from leaderboard.spec import Source

if TYPE_CHECKING:
    from anndata import AnnData

Values = np.ndarray[Any, np.dtype[np.float64]]

TARGET_SUM = 10_000.0
"""Counts per cell, over the genes that PerturBench kept, after its normalisation."""
TOLERANCE = 1e-6
"""Largest distance of a recovered count from a whole number."""
LARGEST_MINIMUM = 10
"""Counts a cell's smallest value may stand for."""
LINES = {"k562": "K562", "A172": "A172", "T98G": "T98G", "U87MG": "U87MG"}
_FILE = "devel.h5ad"


def read(folder: Path) -> "AnnData":
    """Read the cells of ``devel.h5ad``, named by barcode."""
    from anndata import AnnData

    stored = read_raw(folder / _FILE, obs=["condition", "cell_type", "dataset", "ncounts"])
    totals = stored.obs["ncounts"].to_numpy(np.float64)
    counts = recover_counts(sparse.csr_matrix(stored.X, dtype=np.float64), totals)
    return AnnData(
        X=counts,
        obs=_describe(stored.obs),
        var=pd.DataFrame(index=pd.Index(stored.var_names.astype(str))),
    )


def recover_counts(stored: sparse.csr_matrix, totals: Values) -> sparse.csr_matrix:
    """Undo ``log1p(k u)``: the counts of each cell are its values in their largest common unit.

    Guessing the unit from ``totals`` alone is wrong: PerturBench normalised by the total of the
    genes that it kept, up to 2.8 times smaller. But no kept total exceeds the full one, which
    every cell is held to.

    Parameters
    ----------
    stored
        Cells x genes, ``log1p`` of normalised counts.
    totals
        Each cell's total over all genes.

    Returns
    -------
    Counts in CSR float32. Raises ReadError for a cell whose values have no common unit, or one
    that its total rules out.
    """
    stored.eliminate_zeros()
    counts = stored.copy()
    for cell in range(stored.shape[0]):
        own = slice(stored.indptr[cell], stored.indptr[cell + 1])
        counts.data[own] = _recover_cell(np.expm1(stored.data[own]), float(totals[cell]), cell)
    return counts_csr(counts, _FILE)


def _recover_cell(values: Values, total: float, cell: int) -> Values:
    if not values.size:
        return values
    smallest = float(values.min())
    if not smallest > 0:
        raise ReadError(f"{_FILE}: cell {cell}: expected values above 0, got {smallest:g}.")
    for minimum in range(1, LARGEST_MINIMUM + 1):
        counts = values / smallest * minimum
        whole = np.rint(counts)
        if np.abs(counts - whole).max() <= TOLERANCE:
            kept_total = TARGET_SUM * minimum / smallest
            _check_totals(float(whole.sum()), kept_total, total, cell)
            return np.asarray(whole)
    raise ReadError(
        f"{_FILE}: cell {cell}: expected whole multiples of one unit, got none with a smallest "
        f"count up to {LARGEST_MINIMUM}. Likely rounded or otherwise normalised values."
    )


def _check_totals(panel: float, kept: float, total: float, cell: int) -> None:
    if not panel <= kept * (1 + TOLERANCE) <= total * (1 + 2 * TOLERANCE):
        raise ReadError(
            f"{_FILE}: cell {cell}: expected panel total <= total of the kept genes <= total of "
            f"all genes, got {panel:g}, {kept:g} and {total:g}. Likely another target sum."
        )


def _describe(stored: pd.DataFrame) -> pd.DataFrame:
    lines = stored["cell_type"].astype(str)
    unknown = sorted(set(lines) - set(LINES))
    totals = stored["ncounts"].to_numpy(np.float64)
    if unknown or not np.array_equal(totals, np.rint(totals)):
        raise ReadError(
            f"{_FILE}: expected the cell lines {', '.join(LINES)} and whole totals, got lines "
            f"{', '.join(unknown) or 'as expected'} and totals from {totals.min():g}."
        )
    study = stored["dataset"].astype(str)
    return pd.DataFrame(
        {
            "perturbation": [sort_parts(name) for name in as_text(stored["condition"])],
            "cell_line": lines.map(LINES).to_numpy(),
            "batch": study.to_numpy(),
            "library": _name_libraries(study),
            "total_counts_all_genes": totals.astype(np.int64),
        },
        index=pd.Index(stored.index.astype(str), name="cell_id"),
    )


def sort_parts(perturbation: str) -> str:
    """Sort the parts of a pair.

    >>> sort_parts("SET+KLF1")
    'KLF1+SET'
    """
    return "+".join(sorted(perturbation.split("+")))


def _name_libraries(study: "pd.Series[str]") -> Any:
    lane = study.index.to_series().str.extract(r"^[ACGT]{16}-(\d+)$", expand=False)
    return (study + "/lane_" + lane).fillna(study).to_numpy()


SOURCE = Source(name="norman_mcfaline", read=read)
