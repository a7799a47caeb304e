"""New contexts: every perturbation of the held-out context is asked for, from its controls."""

import pandas as pd

from leaderboard.errors import SplitError
from leaderboard.spec import SplitRequest, Splitter
from leaderboard.splits._rules import assign_groups


def _assign(obs: pd.DataFrame, request: SplitRequest) -> pd.DataFrame:
    """Cut the contexts into folds; control cells of all contexts are halved, never held out."""
    if request.context is None:
        raise SplitError(
            "context: `context` must name the obs column of the context (cell type, cell line or "
            "donor); annotation boards have none."
        )
    return assign_groups(obs, request, request.context)


SPLITTER = Splitter(name="context", assign=_assign, column=lambda board: board.context)
