"""Jobs side by side: order kept, errors raised."""

import os
from functools import partial

import pytest

from leaderboard.errors import FreezeError
from leaderboard.workers import run_jobs


def _square(value: int) -> tuple[int, int]:
    return value**2, os.getpid()


def _refuse(value: int) -> None:
    raise FreezeError(f"board {value} is not frozen.")


@pytest.mark.parametrize("workers", [1, 2])
def test_results_keep_the_order_of_jobs(workers: int) -> None:
    found = run_jobs([partial(_square, k) for k in range(7)], workers)
    assert [value for value, _ in found] == [k**2 for k in range(7)]
    is_here = {pid == os.getpid() for _, pid in found}
    assert is_here == {workers == 1}


@pytest.mark.parametrize("workers", [1, 2])
def test_an_error_of_a_job_is_raised_as_it_is(workers: int) -> None:
    with pytest.raises(FreezeError, match="board 3 is not frozen"):
        run_jobs([partial(_square, 1), partial(_refuse, 3), partial(_square, 2)], workers)


def test_no_job_is_no_result() -> None:
    assert run_jobs([], 2) == []
