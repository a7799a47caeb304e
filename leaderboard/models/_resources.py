"""The way to an outside table, for models that declare it."""

from pathlib import Path

from leaderboard.errors import ResourceError
from leaderboard.spec import RunContext


def resource_file(run: RunContext, resource: str, file: str) -> Path:
    """Return the path of a file of a declared resource.

    Raises
    ------
    ResourceError
        If the model does not declare the resource, or the resource has no such file.
    """
    if resource not in run.resources:
        raise ResourceError(
            f"The model reads the resource {resource!r} and does not declare it; declared: "
            f"{', '.join(run.resources) or 'none'}. Add it to `resources` of its Model, then run "
            "`heldout sync`."
        )
    path = run.resources[resource] / file
    if not path.is_file():
        raise ResourceError(
            f"{path}: the resource {resource!r} has no such file. Correct the name in the model, "
            "or the record in data/resources.yaml."
        )
    return path
