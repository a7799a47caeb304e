"""Does a model know which proteins a cell has more of: knowing the usual levels is enough."""

from leaderboard.metrics._correlations import mean_correlation
from leaderboard.spec import Metric, ModalityUnit


def pearson_per_cell(case: ModalityUnit) -> float:
    """Mean over cells of the correlation over proteins; 1 is best.

    Proteins differ more from each other than cells do, so the mean of every protein over the
    training cells scores high without a look at any cell: a number to show, never a rank.
    """
    return mean_correlation(case.predicted.T, case.truth.T, "protein(s)", "cells")


METRIC = Metric(
    name="pearson_per_cell",
    label="Pearson per cell",
    tasks=("modality_prediction",),
    compute=pearson_per_cell,
    bounds=(-1.0, 1.0),
    higher_is_better=True,
    citation="Pearson 1895, doi:10.1098/rspl.1895.0041; as Open Problems' mean_pearson_per_cell",
    floor=0.0,
    ceiling="noise",
)
