"""New organs: no tissue is on both sides; the same people may be, and the audit counts them."""

from leaderboard.splits._rules import group_splitter

SPLITTER = group_splitter("tissue", "tissue")
