"""New experiments: no batch is on both sides, and on annotation boards no donor is either."""

import pandas as pd

from leaderboard.spec import SplitRequest, Splitter
from leaderboard.splits._rules import assign_groups


def _assign(obs: pd.DataFrame, request: SplitRequest) -> pd.DataFrame:
    """Cut the batches into folds.

    A donor who was measured in two batches would be known to a model that is tested on one of them,
    so a fold leaves out that donor's other cells. Where donors and batches are crossed this would
    leave nothing to train on; then they stay, and the audit says so. Perturbation boards keep
    donors: their donors are crossed with batches by design.
    """
    is_nested = request.context is None and "donor_id" in obs
    return assign_groups(obs, request, "batch", "donor_id" if is_nested else None)


SPLITTER = Splitter(name="batch", assign=_assign, column=lambda _board: "batch")
