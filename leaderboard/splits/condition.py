"""New states: no condition is on both sides."""

from leaderboard.splits._rules import group_splitter

SPLITTER = group_splitter("condition", "condition")
