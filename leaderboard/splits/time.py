"""New moments: no time point is on both sides; the same people may be, and the audit counts them.

Every time point is tested, those between two others too: interpolation as well as extrapolation.
"""

from leaderboard.splits._rules import group_splitter

SPLITTER = group_splitter("time", "time")
