"""GEARS with the defects of cell-gears 0.1.2 left in."""

from functools import partial

from leaderboard.models._go import RESOURCE
from leaderboard.models.gears import GearsModel
from leaderboard.spec import Model

MODEL = Model(
    name="gears_published",
    label="GEARS as published",
    tasks=("perturbation_prediction",),
    load=partial(GearsModel, repaired=False),
    is_stochastic=True,
    resources=(RESOURCE,),
)
