"""The only door to MLflow: a parent run an entry and dataset, a child a board, fold and seed."""

import logging
import os
import subprocess
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from leaderboard.spec import Log

DEFAULT_URI = "sqlite:///mlflow.db"
SAMPLING_SECONDS = 1
CODE = (
    *("leaderboard", "stages", "params.yaml", ":(exclude)leaderboard/results"),
    ":(exclude,glob)leaderboard/entries/*/dvc.lock",
)
"""What decides predictions; DVC writes lock files while it runs."""


class Tracker:
    """A thin wrapper around the MLflow client.

    Parameters
    ----------
    experiment
        Name of the experiment: the release.
    """

    def __init__(self, experiment: str) -> None:
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
        os.environ.setdefault("DO_NOT_TRACK", "true")
        warnings.filterwarnings("ignore", module="mlflow")
        import mlflow  # noqa: PLC0415 (1.5 s that only predict needs)

        for name in ("alembic", "mlflow"):
            logging.getLogger(name).setLevel(logging.WARNING)
        self._mlflow = mlflow
        mlflow.set_tracking_uri(os.environ.get("MLFLOW_TRACKING_URI", DEFAULT_URI))
        mlflow.set_experiment(experiment)
        mlflow.set_system_metrics_sampling_interval(SAMPLING_SECONDS)  # type: ignore[no-untyped-call]
        mlflow.set_system_metrics_samples_before_logging(1)  # type: ignore[no-untyped-call]

    @contextmanager
    def entry(self, name: str, dataset: str, tags: Mapping[str, str]) -> Iterator[str]:
        """Open the parent run of an entry on a dataset and yield its id."""
        self._close_interrupted(name, dataset)
        tags = {"entry": name, "dataset": dataset, **tags}
        with self._mlflow.start_run(
            run_name=f"{name} on {dataset}", tags=tags, log_system_metrics=True
        ) as run:
            yield run.info.run_id

    @contextmanager
    def fold(
        self, name: str, params: Mapping[str, Any], dataset: Mapping[str, str]
    ) -> Iterator[tuple[str, Log]]:
        """Open a child run; yield its id and the log of its curves.

        ``dataset`` has ``name digest sha256 split_sha256``; the digest is an MD5 because MLflow
        takes at most 36 characters.
        """
        from mlflow.data.code_dataset_source import CodeDatasetSource  # noqa: PLC0415
        from mlflow.data.meta_dataset import MetaDataset  # noqa: PLC0415

        tags = {"inputs_sha256": dataset["sha256"], "split_sha256": dataset["split_sha256"]}
        with self._mlflow.start_run(
            run_name=name, nested=True, tags=tags, log_system_metrics=True
        ) as run:
            self._mlflow.log_params(dict(params))
            source = CodeDatasetSource(tags={"path": "data/cases"})
            data = MetaDataset(  # type: ignore[abstract]
                source, name=dataset["name"], digest=dataset["digest"]
            )
            self._mlflow.log_input(data, context="inputs")

            def log(name: str, value: float, step: int) -> None:
                self._mlflow.log_metric(name, value, step=step)

            yield run.info.run_id, log

    def tag(self, tags: Mapping[str, str]) -> None:
        """Set tags on the run that is open."""
        self._mlflow.set_tags(dict(tags))

    def _close_interrupted(self, entry: str, dataset: str) -> None:
        """Mark runs that a killed process left open, so that none seems to run for ever."""
        client = self._mlflow.MlflowClient()
        experiments = [e.experiment_id for e in client.search_experiments()]
        asked = f"tags.entry = '{entry}' and tags.dataset = '{dataset}'"
        left = client.search_runs(experiments, f"{asked} and attributes.status = 'RUNNING'")
        for run in left:
            client.set_tag(run.info.run_id, "interrupted", "true")
            client.set_terminated(run.info.run_id, status="KILLED")


def git_commit() -> str:
    """Return the commit of the working tree, with ``+`` if it has uncommitted changes to code."""
    head = _git("rev-parse", "HEAD")
    if not head:
        return "unknown"
    dirty = _git("status", "--porcelain", "--", *CODE)
    return f"{head}+" if dirty else head


def _git(*arguments: str) -> str:
    try:
        done = subprocess.run(  # noqa: S603 (fixed program and arguments)
            ["git", *arguments],  # noqa: S607
            capture_output=True, text=True, check=True,
        )  # fmt: skip
    except (OSError, subprocess.CalledProcessError):
        return ""
    return done.stdout.strip()


def device() -> str:
    """Return the name of the device that torch models run on; ``cpu`` if torch is not loaded."""
    import sys  # noqa: PLC0415

    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        return str(torch.cuda.get_device_name())
    return "cpu"


def peak_memory_mb() -> int:
    """Return the largest resident size of this process so far, in MiB."""
    import resource  # noqa: PLC0415

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


def dvc_hash(path: Path, locks: tuple[Path, ...]) -> str:
    """Return the MD5 that a ``dvc.lock`` holds for an output, or ``unknown``."""
    from leaderboard.io import read_yaml  # noqa: PLC0415

    for lock in locks:
        stages = (read_yaml(lock) or {}).get("stages", {}) if lock.is_file() else {}
        for stage in stages.values():
            for out in stage.get("outs", []):
                if out.get("path") == path.as_posix():
                    return str(out.get("md5", "unknown"))
    return "unknown"
