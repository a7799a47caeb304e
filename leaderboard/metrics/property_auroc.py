"""Does a linear probe of the embedding rank genes with the property above those without?"""

from leaderboard.errors import UndefinedScoreError
from leaderboard.metrics._auroc import auroc
from leaderboard.spec import GenePropertyUnit, Metric


def property_auroc(case: GenePropertyUnit) -> float:
    """Area under the ROC curve over the genes of one fold; ties count half.

    Names alone reach it where a property follows gene families: read
    ``property_auroc_matched`` beside it.
    """
    if case.has_property.all() or not case.has_property.any():
        raise UndefinedScoreError("needs genes with the property and genes without it")
    return auroc(case.score, case.has_property)


METRIC = Metric(
    name="property_auroc",
    label="AUROC",
    tasks=("gene_property",),
    compute=property_auroc,
    bounds=(0.0, 1.0),
    higher_is_better=True,
    citation="Hanley & McNeil 1982, doi:10.1148/radiology.143.1.7063747",
    floor=0.5,
)
