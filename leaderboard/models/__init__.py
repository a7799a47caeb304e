"""Models: one a module, found by file name. To add one, add a file here."""

from leaderboard.registry import Registry
from leaderboard.spec import Model

MODELS = Registry(__name__, Model)
