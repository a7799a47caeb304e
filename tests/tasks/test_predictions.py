"""Wrong predictions are refused with the reason; nothing is repaired."""

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

from leaderboard.errors import PredictionError
from leaderboard.spec import Case
from leaderboard.tasks import TASKS
from tests.tasks._screens import constant_prediction, named_labels, with_probabilities

ANNOTATION = TASKS["cell_type_annotation"]
PERTURBATION = TASKS["perturbation_prediction"]

BAD_ANNOTATION: dict[str, tuple[Callable[[pd.DataFrame], pd.DataFrame], str]] = {
    "a cell is missing": (lambda t: t.iloc[1:], "1 of .* missing, first cell_id="),
    "a cell is there twice": (lambda t: pd.concat([t, t.iloc[:1]]), "1 duplicated row"),
    "a cell was not asked for": (
        lambda t: pd.concat([t, t.iloc[:1].assign(cell_id="z")]),
        "not asked for, first cell_id=z",
    ),
    "no label": (lambda t: t.drop(columns="label"), "expected the columns"),
    "a column too many": (lambda t: t.assign(score=1.0), "expected the columns"),
    "an empty label": (lambda t: t.assign(label=""), "label.* are no text"),
    "a missing label": (lambda t: t.assign(label=None), "label.* are no text"),
    "a number for a label": (lambda t: t.assign(label=3), "label.* are no text"),
    "probabilities for some classes": (lambda t: t.drop(columns="p:A"), "missing .*p:A"),
    "a negative probability": (lambda t: t.assign(**{"p:A": -0.5, "p:B": 1.25}), "negative"),
    "a probability that is NaN": (lambda t: t.assign(**{"p:A": np.nan}), "not finite"),
    "probabilities that sum to 1.001": (lambda t: t.assign(**{"p:A": 0.501}), "do not sum to 1"),
    "ids that are numbers": (lambda t: t.assign(cell_id=range(len(t))), "cell_id"),
}


def test_a_right_annotation_passes(atlas_case: Case) -> None:
    keys = atlas_case.truth[["cell_id"]]
    for table in (named_labels(atlas_case), with_probabilities(atlas_case)):
        ANNOTATION.check_prediction(table.sample(frac=1, random_state=0), keys, ["A", "B", "C"])


@pytest.mark.parametrize("fault", list(BAD_ANNOTATION))
def test_a_wrong_annotation_is_refused_with_the_reason(atlas_case: Case, fault: str) -> None:
    spoil, told = BAD_ANNOTATION[fault]
    table, keys = spoil(with_probabilities(atlas_case)), atlas_case.truth[["cell_id"]]
    with pytest.raises(PredictionError, match=told):
        ANNOTATION.check_prediction(table, keys, ["A", "B", "C"])


BAD_PERTURBATION: dict[str, tuple[Callable[[pd.DataFrame], pd.DataFrame], str]] = {
    "a query is missing": (lambda t: t.iloc[1:], "missing, first perturbation="),
    "a query is there twice": (lambda t: pd.concat([t, t.iloc[:1]]), "1 duplicated row"),
    "a query was not asked for": (
        lambda t: pd.concat([t, t.iloc[:1].assign(perturbation="z")]),
        "not asked for, first perturbation=z",
    ),
    "no statistic": (lambda t: t.drop(columns="statistic"), "column statistic missing"),
    "an unknown statistic": (
        lambda t: t.assign(statistic="median"),
        "must be one of .*'mean_variance'",
    ),
    "only a variance": (lambda t: t.assign(statistic="variance"), "missing"),
    "a variance for what was not asked": (
        lambda t: pd.concat([t, t.iloc[:1].assign(statistic="variance", perturbation="z")]),
        "perturbation=z",
    ),
    "a variance twice": (
        lambda t: pd.concat([t, *[t.iloc[:1].assign(statistic="variance")] * 2]),
        "duplicated",
    ),
    "a negative variance": (
        lambda t: pd.concat([t, t.iloc[:1].assign(statistic="variance", G003=-0.1)]),
        "a predicted variance is negative",
    ),
    "a negative variance of a mean": (
        lambda t: pd.concat([t, t.iloc[:1].assign(statistic="mean_variance", G003=-0.1)]),
        "a predicted variance is negative",
    ),
    "a variance of a mean that was not asked for": (
        lambda t: pd.concat([t, t.iloc[:1].assign(statistic="mean_variance", perturbation="z")]),
        "perturbation=z",
    ),
    "a gene is missing": (lambda t: t.drop(columns="G003"), "missing .*G003"),
    "a gene too many": (lambda t: t.assign(XIST=0.0), "not in it .*XIST"),
    "NaN": (lambda t: t.assign(G003=np.nan), "NaN or infinity"),
    "infinity": (lambda t: t.assign(G003=np.inf), "NaN or infinity"),
    "text for a number": (lambda t: t.assign(G003="high"), "G003|number"),
}


def test_a_right_perturbation_prediction_passes(screen_case: Case) -> None:
    table, genes = constant_prediction(screen_case), list(screen_case.inputs.var_names)
    assert screen_case.queries is not None
    PERTURBATION.check_prediction(table.iloc[::-1, ::-1], screen_case.queries, genes)
    both = pd.concat([table, *[table.assign(statistic=s) for s in ("variance", "mean_variance")]])
    PERTURBATION.check_prediction(both, screen_case.queries, genes)


@pytest.mark.parametrize("fault", list(BAD_PERTURBATION))
def test_a_wrong_perturbation_prediction_is_refused_with_the_reason(
    screen_case: Case, fault: str
) -> None:
    spoil, told = BAD_PERTURBATION[fault]
    table = spoil(constant_prediction(screen_case))
    assert screen_case.queries is not None
    with pytest.raises(PredictionError, match=told):
        PERTURBATION.check_prediction(
            table, screen_case.queries, list(screen_case.inputs.var_names)
        )
