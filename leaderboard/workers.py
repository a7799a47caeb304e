"""Independent jobs of a stage, side by side in processes."""

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from typing import Any


def run_jobs(jobs: Sequence[Callable[[], Any]], workers: int) -> list[Any]:
    """Return what each job returns, in their order.

    A job and its result must pickle. The first error of a job is raised here, and jobs that have
    not begun are dropped. With one worker or one job nothing is forked.
    """
    if min(workers, len(jobs)) < 2:
        return [job() for job in jobs]
    pool = ProcessPoolExecutor(min(workers, len(jobs)))
    try:
        running = [pool.submit(job) for job in jobs]
        return [job.result() for job in running]
    finally:
        pool.shutdown(cancel_futures=True)


def limit_threads(n: int) -> None:
    """Tell libraries that are not yet imported how many threads they may use."""
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS", "NPROC"):
        os.environ.setdefault(name, str(n))
