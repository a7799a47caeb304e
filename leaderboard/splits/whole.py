"""Nothing is held out: every cell is shown and scored, as in integration and network inference."""

import pandas as pd

from leaderboard.spec import SplitRequest, Splitter
from leaderboard.splits._rules import tidy


def _assign(obs: pd.DataFrame, _request: SplitRequest) -> pd.DataFrame:
    """Give every cell the role test in fold 0."""
    return tidy(pd.DataFrame({"cell_id": obs.index, "fold": 0, "role": "test"}))


SPLITTER = Splitter(name="whole", assign=_assign, column=lambda _board: None, holds_out=False)
