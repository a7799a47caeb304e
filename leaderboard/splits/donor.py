"""New people: no donor is on both sides."""

from leaderboard.splits._rules import group_splitter

SPLITTER = group_splitter("donor", "donor_id")
