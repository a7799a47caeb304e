"""The pipeline: fetch, validate, split, audit, predict, score, rank, render; one DVC stage a file.

Each module reads files, calls ``leaderboard`` and writes files.
"""

import os

import yaml


def _fix_threads() -> None:
    """Fix thread counts before numpy is imported: PCA and regressions change with them."""
    try:
        with open("params.yaml", encoding="utf-8") as stream:  # noqa: PTH123 (nothing imported yet)
            threads = str(int(yaml.safe_load(stream)["threads"]))
    except (OSError, KeyError, TypeError, ValueError, yaml.YAMLError):
        return  # the stage itself reads params.yaml and says what is wrong with it
    for name in ("OMP", "OPENBLAS", "MKL", "NUMEXPR", "NUMBA"):
        os.environ[f"{name}_NUM_THREADS"] = threads
    # cuBLAS is deterministic only with a fixed workspace.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    for name in ("GX_ANALYTICS_ENABLED", "MLFLOW_ENABLE_TELEMETRY"):
        os.environ[name] = "False"
    for name in ("DVC_NO_ANALYTICS", "MLFLOW_DISABLE_TELEMETRY", "DO_NOT_TRACK"):
        os.environ[name] = "true"


_fix_threads()
