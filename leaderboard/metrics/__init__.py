"""Metrics: one a module, found by file name. To add one, add a file here."""

from leaderboard.registry import Registry
from leaderboard.spec import Metric

METRICS = Registry(__name__, Metric)
