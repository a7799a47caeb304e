"""New experiments: no batch is on both sides."""

from leaderboard.splits._rules import group_splitter

SPLITTER = group_splitter("batch", "batch")
