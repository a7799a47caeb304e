"""Is an entry less sure of cells whose type training never held?"""

from leaderboard.errors import UndefinedScoreError
from leaderboard.metrics._auroc import auroc
from leaderboard.metrics._probability import confidence
from leaderboard.spec import AnnotationUnit, Metric


def open_set_auroc(case: AnnotationUnit) -> float:
    """Chance that a cell of an unseen label has a smaller largest probability than a seen one.

    Equal probabilities count one half, so an entry that is equally sure of everything scores 0.5.
    """
    if case.is_unseen is None or not case.is_unseen.any() or case.is_unseen.all():
        raise UndefinedScoreError(
            "needs cells of labels that training held, and cells of labels that it did not"
        )
    return auroc(-confidence(case), case.is_unseen)


METRIC = Metric(
    name="open_set_auroc",
    label="Open-set AUROC",
    tasks=("cell_type_annotation",),
    compute=open_set_auroc,
    bounds=(0.0, 1.0),
    higher_is_better=True,
    citation="Hendrycks & Gimpel 2017, arXiv:1610.02136 (maximum softmax probability)",
    floor=0.5,
)
