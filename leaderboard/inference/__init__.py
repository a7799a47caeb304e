"""From score tables to standings: intervals, verdicts and rank sets, and when to print none."""
