"""Does a model know which cells have more of a protein and which have less?"""

from leaderboard.metrics._correlations import mean_correlation
from leaderboard.spec import Metric, ModalityUnit


def pearson_per_protein(case: ModalityUnit) -> float:
    """Mean over proteins of the correlation over the unit's cells; 1 is best.

    Proteins whose truth does not vary are left out. A constant prediction of a protein scores 0
    for it, so that the mean of every protein scores 0, whatever it scores within a cell.
    """
    return mean_correlation(case.predicted, case.truth, "cell(s)", "proteins")


METRIC = Metric(
    name="pearson_per_protein",
    label="Pearson per protein",
    tasks=("modality_prediction",),
    compute=pearson_per_protein,
    bounds=(-1.0, 1.0),
    higher_is_better=True,
    citation="Pearson 1895, doi:10.1098/rspl.1895.0041; as Open Problems' mean_pearson_per_gene, "
    "within units and without proteins whose truth is constant",
    floor=0.0,
    ceiling="noise",
    is_ranked=True,
)
