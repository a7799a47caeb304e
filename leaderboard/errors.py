"""Errors a user can act on: each message says what, where, expected, got and what to do."""


class HeldoutError(Exception):
    """Base of every error this project raises on purpose; the stages print it in one line."""


class PluginError(HeldoutError):
    """A plug-in module does not hold exactly one plug-in of its own name."""


class UnknownNameError(HeldoutError, KeyError):
    """No plug-in, dataset, board or entry has that name."""

    __str__ = Exception.__str__


class ConfigError(HeldoutError):
    """A hand-written file (params, datasets, entry) breaks its schema."""


class FetchError(HeldoutError):
    """A raw file could not be had, or is not the file that its record names."""


class ResourceError(HeldoutError):
    """An outside table is not declared as it must be, not there, or not what its record says."""


class ReadError(HeldoutError):
    """A raw file is there but does not hold what its reader expects."""


class ContractError(HeldoutError):
    """A table breaks its data contract, or the contract itself cannot be read."""


class SplitError(HeldoutError):
    """A split cannot be drawn, or no longer matches its frozen digest."""


class LeakageError(HeldoutError):
    """Something that a score must not know is on both sides."""


class TableError(HeldoutError):
    """A file between two stages breaks its schema."""


class PredictionError(TableError):
    """A prediction file breaks the schema of its task."""


class FreezeError(HeldoutError):
    """A frozen constant is missing, or no longer what the code computes."""


class PublishError(HeldoutError):
    """Results do not belong together, so they are not promoted."""


class CheckpointError(HeldoutError):
    """A folder of published weights cannot be read safely, or does not fit its network."""


class UndefinedScoreError(HeldoutError):
    """The metric has no value here; the reason becomes the row's ``reason``."""
