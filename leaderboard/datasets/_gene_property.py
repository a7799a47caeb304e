"""The property of genes that a dataset asks about: kept beside its counts, never shown to a model.

Real datasets ask for dosage sensitivity: which of 490 transcription factors cannot lose one copy
without harm. The labels are those that Theodoris et al. 2023 (doi:10.1038/s41586-023-06139-9) tune
Geneformer on, by Ensembl id; GENCODE v44 gives the symbols.
"""

from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from leaderboard.errors import ReadError

if TYPE_CHECKING:
    from anndata import AnnData

LABELS = "dosage_sens_tf_labels.csv"
SYMBOLS = "GENCODEv44_Gene_id2name.csv"
COLUMNS = {"dosage_sensitive": True, "dosage_insensitive": False}


def attach_property(adata: "AnnData", table: pd.DataFrame) -> None:
    """Put ``gene has_property`` of the measured genes in ``uns["gene_property"]``, sorted.

    Raises
    ------
    ReadError
        If a gene is there twice.
    """
    found = table[["gene", "has_property"]].astype({"gene": str, "has_property": bool})
    found = found[found["gene"].isin(adata.var_names)].sort_values("gene", ignore_index=True)
    twice = found[found["gene"].duplicated()]
    if len(twice):
        raise ReadError(
            f"gene property: expected one row a gene, got {len(twice)} more, first "
            f"{twice['gene'].iloc[0]}."
        )
    adata.uns["gene_property"] = found


def attach_dosage_sensitivity(adata: "AnnData", folder: Path) -> None:
    """Attach the dosage sensitivity of the measured transcription factors."""
    attach_property(adata, read_dosage_sensitivity(folder))


def read_dosage_sensitivity(folder: Path) -> pd.DataFrame:
    """Read ``gene has_property``, by symbol; a gene without a symbol keeps its Ensembl id."""
    labels = _read(folder / LABELS, header=0)
    if list(labels.columns) != list(COLUMNS):
        raise ReadError(f"{LABELS}: expected the columns {list(COLUMNS)}, got {list(labels)}.")
    ids = pd.concat(
        [
            pd.DataFrame({"id": labels[column].dropna(), "has_property": value})
            for column, value in COLUMNS.items()
        ]
    )
    names = _read(folder / SYMBOLS, header=None)
    if names.shape[1] != 2 or not names[0].str.fullmatch(r"ENSG\d{11}(_PAR_Y)?").all():
        raise ReadError(f"{SYMBOLS}: expected lines of an Ensembl gene id and a symbol.")
    symbol = names.drop_duplicates(0).set_index(0)[1]
    return pd.DataFrame(
        {
            "gene": ids["id"].map(symbol).fillna(ids["id"]).to_numpy(),
            "has_property": ids["has_property"].to_numpy(dtype=bool),
        }
    )


def _read(path: Path, header: int | None) -> pd.DataFrame:
    try:
        return pd.read_csv(path, header=header, dtype=str)
    except (OSError, ValueError) as error:
        raise ReadError(f"{path.name}: cannot be read as CSV ({error}).") from error
