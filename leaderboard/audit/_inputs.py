"""Checks of what models are given: ids, order, columns, labels of test cells."""

from collections.abc import Iterator

import numpy as np
import pandas as pd

from leaderboard.audit._record import Finding, FoldFiles, finding

OPAQUE = r"[0-9a-f]{24}"
SHOWN = {
    "cell_type_annotation": {"role", "cell_type", "donor_id", "batch", "total_counts_all_genes"},
    "batch_integration": {"role", "batch", "cell_type", "total_counts_all_genes"},
    "perturbation_prediction": {
        *("role", "perturbation", "context", "size_factor", "donor_id", "batch", "cell_type"),
        *("cell_line", "total_counts_all_genes"),
    },
    "modality_prediction": {"role", "cell_type", "donor_id", "batch", "total_counts_all_genes"},
    "gene_network": {"role", "total_counts_all_genes"},
    "gene_property": {"role", "total_counts_all_genes"},
}
"""What inputs may show, kept apart from the code that writes them, so that one checks the other."""
SHOWN_PARTS: dict[str, dict[str, set[str]]] = {
    "perturbation_prediction": {"uns": {"target_sum", "size_factor", "cells"}},
    "modality_prediction": {"obsm": {"protein"}, "uns": {"protein_names", "protein_unit"}},
}
"""The same for what inputs hold besides counts and ``obs``, by place."""
HIDDEN_FROM_TEST_CELLS = ("cell_type", "donor_id", "batch")
SHOWN_OF_TEST_CELLS = {"batch_integration": {"batch", "cell_type"}}
"""What a task asks models to look at all the same; prediction hides labels from all but models
that declare to use them."""
LABELLED_ONLY = ("cell_type_annotation", "batch_integration")
"""Tasks that leave out cells without a label."""


def check_identifiers(files: FoldFiles) -> Iterator[Finding]:
    """Look for ids or an order of rows that tell something, and columns beyond the list."""
    names = pd.Series(files.inputs.obs_names.astype(str))
    plain = names[~names.str.fullmatch(OPAQUE) | names.isin(files.obs.index)]
    yield finding(files, "identifiers", list(plain), "id(s) that are not opaque")
    yield finding(
        files,
        "identifiers",
        [] if names.is_monotonic_increasing else ["order"],
        "order(s) of rows other than that of the hash",
    )
    extra = sorted(set(map(str, files.inputs.obs.columns)) - SHOWN[files.board.task])
    extra += [f"var:{column}" for column in files.inputs.var.columns]
    for place in ("obsm", "obsp", "layers", "uns"):
        known = SHOWN_PARTS.get(files.board.task, {}).get(place, set())
        extra += [f"{place}:{key}" for key in sorted(set(getattr(files.inputs, place)) - known)]
    extra += ["raw"] if files.inputs.raw is not None else []
    yield finding(files, "identifiers", extra, "column(s) beyond the whitelist")


def check_labels(files: FoldFiles) -> Iterator[Finding]:
    """Look for labels and groups of test cells among the inputs."""
    is_test = (files.inputs.obs["role"].astype(str) == "test").to_numpy()
    allowed = SHOWN_OF_TEST_CELLS.get(files.board.task, set())
    shown = [
        column
        for column in HIDDEN_FROM_TEST_CELLS
        if column in files.inputs.obs
        and column not in allowed
        and files.inputs.obs.loc[is_test, column].notna().any()
    ]
    # Whatever else a cell holds besides its counts is asked for: a number there is the answer.
    shown += [
        f"obsm:{key}"
        for key, values in files.inputs.obsm.items()
        if np.isfinite(np.asarray(values, dtype=np.float64)[is_test]).any()
    ]
    yield finding(files, "labels", shown, "column(s) that show test cells")
    scored = files.truth[files.truth["role"] == "test"]
    if "real_cell_id" not in scored:  # the truth is about genes
        return
    asked = np.unique(scored["real_cell_id"])
    planned = files.roles.loc[files.roles["role"] == "test", "cell_id"]
    if files.board.task in LABELLED_ONLY:
        planned = planned[files.obs["cell_type"].reindex(planned).notna().to_numpy()]
    missing = sorted(set(planned) ^ set(asked))
    yield finding(files, "labels", missing, "test cell(s) that split and truth disagree on")
