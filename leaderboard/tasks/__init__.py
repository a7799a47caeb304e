"""Tasks: one a module, found by file name. To add one, add a file here."""

from leaderboard.registry import Registry
from leaderboard.spec import Task

TASKS = Registry(__name__, Task)
