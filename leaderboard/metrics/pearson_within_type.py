"""Does a model know more of a cell's proteins than its type?"""

import numpy as np

from leaderboard.errors import UndefinedScoreError
from leaderboard.metrics._correlations import mean_correlation
from leaderboard.spec import Metric, ModalityUnit

MIN_TYPE_CELLS = 10
"""Cells of one type in one unit; below it a correlation is mostly chance."""


def pearson_within_type(case: ModalityUnit) -> float:
    """Mean over cell types of the mean correlation per protein over the type's cells; 1 is best.

    Every type of at least 10 cells weighs the same. Predicting the mean of the type scores 0.
    """
    names, n = np.unique(case.label[case.label != ""], return_counts=True)
    values = []
    for name in names[n >= MIN_TYPE_CELLS]:
        cells = case.label == name
        try:
            values.append(
                mean_correlation(case.predicted[cells], case.truth[cells], "cell(s)", "proteins")
            )
        except UndefinedScoreError:
            continue
    if not values:
        raise UndefinedScoreError(
            f"no cell type of this unit has {MIN_TYPE_CELLS} cells and a protein that varies"
        )
    return float(np.mean(values))


METRIC = Metric(
    name="pearson_within_type",
    label="Pearson within type",
    tasks=("modality_prediction",),
    compute=pearson_within_type,
    bounds=(-1.0, 1.0),
    higher_is_better=True,
    citation="Pearson 1895, doi:10.1098/rspl.1895.0041; over the cells of one type, types alike",
    floor=0.0,
    ceiling="noise",
)
