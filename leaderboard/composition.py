"""How many cells of each kind a dataset holds, for the dataset's page."""

from typing import Any

import pandas as pd

COLUMNS = (
    *("donor_id", "batch", "library", "tissue", "time", "condition", "disease", "cell_line"),
    *("cell_type", "perturbation"),
)
PAIRS = (
    *(("donor_id", "cell_type"), ("batch", "cell_type"), ("donor_id", "batch")),
    *(("donor_id", "condition"), ("library", "condition"), ("library", "perturbation")),
)


def composition(obs: pd.DataFrame) -> dict[str, Any]:
    """Return cells per value of every known column, and per pair of columns that go together.

    A missing value is counted as ``(missing)``.
    """
    text = (
        obs[[c for c in COLUMNS if c in obs]].astype(object).where(lambda t: t.notna(), "(missing)")
    )
    text = text.astype(str)
    columns = {
        column: {str(k): int(n) for k, n in text[column].value_counts().sort_index().items()}
        for column in text.columns
    }
    pairs = {}
    for one, other in PAIRS:
        if one in text and other in text:
            table = pd.crosstab(text[one], text[other])
            pairs[f"{one} x {other}"] = {
                "rows": list(map(str, table.index)),
                "columns": list(map(str, table.columns)),
                "cells": table.to_numpy().tolist(),
            }
    return {"columns": columns, "pairs": pairs}
