"""What a dataset must add up to: cells, genes, totals and categories, as tables and contracts."""

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from scipy import sparse

from leaderboard.contracts import Contract, Meta, Promise, PromiseMeta, Report, as_text, check_table

if TYPE_CHECKING:
    from anndata import AnnData
else:  # anndata takes a second to import, and is only passed through
    AnnData = Any

EMPTY_WORDS = r"^\s*$|^\s|\s$|^(?:nan|NaN|None|null|NULL|<NA>|NA|N/A)$"
"""Text that hides a missing value, or a label that differs from another by a blank."""
FIX_RECORD = "Compare the reader with the dataset's record in data/datasets.yaml."
MARKS = ("n_nan", "n_negative", "n_fractional", "n_infinite")
"""What a raw count must not be; a value may carry several marks."""


def summarise_counts(adata: AnnData, chunk: int = 4096) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Summarise ``X`` per cell and per gene, a chunk of rows at a time, never dense.

    Parameters
    ----------
    adata
        Counts in memory or backed; only ``chunk`` rows are looked at together.
    chunk
        Rows per step. The result does not depend on it, not even in the last bit.

    Returns
    -------
    Per cell ``cell_id total_counts n_genes`` and per gene ``gene total_counts n_cells``, each with
    how many values are NaN, negative, fractional, infinite. Totals add up the finite values;
    ``n_genes`` and ``n_cells`` count the values that are not zero.
    """
    n_cells, n_genes = adata.shape
    per_gene: dict[str, np.ndarray] = {"total_counts": np.zeros(n_genes)}
    per_gene |= {name: np.zeros(n_genes, dtype=np.int64) for name in ("n_cells", *MARKS)}
    blocks = [
        _summarise_block(adata.X[start : start + chunk], per_gene)
        for start in range(0, n_cells, chunk)
    ]
    empty = pd.DataFrame(columns=["total_counts", "n_genes", *MARKS], dtype=np.int64)
    cells = pd.concat(blocks, ignore_index=True) if blocks else empty
    cells.insert(0, "cell_id", np.asarray(adata.obs_names, dtype=object))
    genes = pd.DataFrame({"gene": np.asarray(adata.var_names, dtype=object), **per_gene})
    return cells, genes


def _summarise_block(rows: Any, per_gene: dict[str, np.ndarray]) -> pd.DataFrame:
    """Return the per-cell summary of some rows and add them to ``per_gene``."""
    block = sparse.csr_matrix(rows)
    if not block.has_canonical_format:
        block = block.copy()
        block.sum_duplicates()  # two entries of one cell and gene are one count
    n_cells, n_genes = block.shape
    row = np.repeat(np.arange(n_cells), np.diff(block.indptr))
    value = block.data.astype(np.float64)
    finite = np.where(np.isfinite(value), value, 0.0)
    # Into the running total one by one: sums of chunks would round differently for each `chunk`.
    np.add.at(per_gene["total_counts"], block.indices, finite)
    total = np.bincount(row, weights=finite, minlength=n_cells)
    # numpy counts in integers where no value is stored
    cells: dict[str, np.ndarray] = {"total_counts": total.astype(np.float64)}
    for name, mark in _marks(value, finite).items():
        cells[name] = np.bincount(row[mark], minlength=n_cells)
        gene_name = "n_cells" if name == "n_genes" else name
        per_gene[gene_name] += np.bincount(block.indices[mark], minlength=n_genes)
    return pd.DataFrame(cells)


def _marks(value: np.ndarray, finite: np.ndarray) -> dict[str, np.ndarray]:
    """Return which values count as expressed and which carry each of ``MARKS``."""
    return {
        "n_genes": value != 0,
        "n_nan": np.isnan(value),
        "n_negative": value < 0,
        "n_fractional": finite != np.rint(finite),
        "n_infinite": np.isinf(value),
    }


def count_categories(values: pd.Series) -> pd.DataFrame:
    """Count the cells of every value: rows ``value cells``, sorted; missing values are left out.

    Values are compared as text, because YAML reads the donor ``1015`` as a number.
    """
    counts = values.dropna().map(as_text).value_counts().sort_index()
    # Python ints: Great Expectations cannot write a numpy int into its result.
    cells = pd.Series([int(count) for count in counts], dtype=object)
    return pd.DataFrame({"value": counts.index.astype(object), "cells": cells})


def build_tables(adata: AnnData, categories: Iterable[str]) -> dict[str, pd.DataFrame]:
    """Return every table of a dataset that a contract may speak of, by the table's name."""
    names = np.asarray(adata.obs_names, dtype=object)
    obs = adata.obs.reset_index(drop=True).assign(cell_id=names)
    if "perturbation" in obs:
        parts = obs["perturbation"].astype(object)
        # No regular expression can tell that the parts of `A+B` are sorted; a second column can.
        obs["perturbation_sorted"] = parts.map(sort_parts, na_action="ignore")
    cells, genes = summarise_counts(adata)
    if "total_counts_all_genes" in obs:
        cells["total_counts_all_genes"] = obs["total_counts_all_genes"]
    var = pd.DataFrame({"gene": np.asarray(adata.var_names, dtype=object)})
    tables = {"obs": obs, "var": var, "counts": cells, "genes": genes}
    for column in categories:
        values = obs[column] if column in obs else pd.Series(dtype=object)
        tables[f"categories.{column}"] = count_categories(values)
    return tables


def sort_parts(perturbation: str) -> str:
    """Return ``B+A`` as ``A+B``, and ``A+A`` as ``A``."""
    return "+".join(sorted(set(str(perturbation).split("+"))))


def dataset_contracts(record: Mapping[str, Any]) -> list[Contract]:
    """Turn the promises of a dataset's record into contracts.

    Reads ``obs`` (columns), ``nullable`` (those that may be missing in some cells) and ``expected``
    (``cells genes total_counts categories``); each is optional.
    """
    expected = record.get("expected", {})
    categories = expected.get("categories", {})
    obs = [_promise_rows("cells", expected["cells"])] if "cells" in expected else []
    for column in dict.fromkeys([*record.get("obs", ()), *categories]):
        obs += _promise_column(column, is_nullable=column in record.get("nullable", ()))
    var = [_promise_rows("genes", expected["genes"])] if "genes" in expected else []
    total = expected.get("total_counts")
    counts = [] if total is None else [_promise_total(total)]
    contracts = [
        _dataset_contract(table, key, promises)
        for table, key, promises in (
            ("obs", "cell_id", obs),
            ("var", "gene", var),
            ("counts", "cell_id", counts),
        )
        if promises
    ]
    return contracts + [
        _dataset_contract(f"categories.{column}", "value", _promise_categories(column, cells))
        for column, cells in sorted(categories.items())
    ]


def _dataset_contract(table: str, key: str, promises: Sequence[Promise]) -> Contract:
    """Return a contract that is written in a dataset's record, not in a file of its own."""
    meta = Meta(table=table, about="data/datasets.yaml", key=(key,), fix=FIX_RECORD)
    return Contract(name=f"{table} of this dataset", meta=meta, expectations=tuple(promises))


def _promise(kind: str, sentence: str, **kwargs: Any) -> Promise:
    return Promise(type=kind, kwargs=kwargs, meta=PromiseMeta(promise=sentence))


def _promise_rows(noun: str, n: int) -> Promise:
    sentence = f"The dataset has {n} {noun}."
    return _promise("expect_table_row_count_to_equal", sentence, value=n)


def _promise_total(total: int) -> Promise:
    return _promise(
        "expect_column_sum_to_be_between",
        f"All counts add up to {total}.",
        column="total_counts",
        min_value=total,
        max_value=total,
    )


def _promise_column(column: str, *, is_nullable: bool) -> list[Promise]:
    text = _promise(
        "expect_column_values_to_not_match_regex",
        f"No {column} is empty, ends in a blank or spells out a missing value.",
        column=column,
        regex=EMPTY_WORDS,
    )
    filled = _promise(
        "expect_column_values_to_not_be_null", f"Every cell has a {column}.", column=column
    )
    return [text] if is_nullable else [filled, text]


def _promise_categories(column: str, cells: Mapping[Any, int]) -> list[Promise]:
    declared = {as_text(value): int(n) for value, n in cells.items()}
    return [
        _promise(
            "expect_column_distinct_values_to_equal_set",
            f"The values of {column} are those of the dataset's record.",
            column="value",
            value_set=sorted(declared),
        ),
        _promise(
            "expect_column_pair_values_to_be_in_set",
            f"Each {column} has as many cells as the dataset's record says.",
            column_A="value",
            column_B="cells",
            value_pairs_set=sorted(declared.items()),
        ),
    ]


def check_dataset(
    adata: AnnData,
    *,
    dataset: str,
    record: Mapping[str, Any],
    contracts: Mapping[str, Contract],
) -> list[Report]:
    """Check a clean dataset: the promises of every dataset, then those of its own record."""
    tables = build_tables(adata, record.get("expected", {}).get("categories", {}))
    columns = {*tables["obs"].columns, *record.get("obs", ())}
    common = [
        contract
        for _, contract in sorted(contracts.items())
        if contract.meta.table in tables
        and (contract.meta.needs is None or contract.meta.needs in columns)
    ]
    return [
        check_table(tables[contract.meta.table], contract, dataset=dataset)
        for contract in [*common, *dataset_contracts(record)]
    ]
