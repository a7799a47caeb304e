"""GEARS where no gene has a GO term: co-expression alone joins the perturbed genes."""

from functools import partial

from leaderboard.models.gears import GearsModel
from leaderboard.spec import Model

MODEL = Model(
    name="gears_coexpression",
    label="GEARS on co-expression",
    tasks=("perturbation_prediction",),
    load=partial(GearsModel, graph="coexpression"),
    is_stochastic=True,
    suites=("known_truth",),
)
