"""Splits: one a module, found by file name. To add one, add a file here."""

from leaderboard.registry import Registry
from leaderboard.spec import Splitter

SPLITTERS = Registry(__name__, Splitter)
