"""``make bench``: seconds and memory of inference on 60 entries x 300 units x 10,000 resamples.

All 60 entries are put in the family, four times what a board ranks, so rank sets compare all 1,770
pairs by max-T with step-down; 57 are judged against 3 baselines by bootstrap-t, and sign flips
check both. Nothing is cached before the run.
"""

import resource
import sys
import time

import numpy as np
from threadpoolctl import threadpool_limits

from leaderboard.inference._paired import differences
from leaderboard.inference._ranks import Method, rank_sets
from leaderboard.inference._resampling import N_RESAMPLES
from leaderboard.inference.judge import Roles, judge

N_ENTRIES, N_UNITS, N_DECLARED = 60, 300, 3
N_THREADS = 2
MOST_SECONDS, MOST_GB = 5.0, 1.0


def simulate() -> dict[str, np.ndarray]:
    """Return scores that share a level by unit; neighbours in rank are .02 SD apart."""
    rng = np.random.default_rng(0)
    level = rng.normal(size=N_UNITS)
    means = 0.02 * np.arange(N_ENTRIES)
    noise = rng.normal(scale=0.5, size=(N_ENTRIES, N_UNITS))
    return {f"e{k:02d}": level + means[k] + noise[k] for k in range(N_ENTRIES)}


def main() -> int:
    """Print seconds and peak memory; return 1 above 5 seconds or 1 GB."""
    values = simulate()
    names = list(values)
    before = _peak_gb()
    started, cpu_started = time.perf_counter(), time.process_time()
    roles = Roles(judged=names[N_DECLARED:], declared=names[:N_DECLARED], family=names)
    with threadpool_limits(N_THREADS):
        found = judge(values, roles, higher_is_better=True)
    seconds, peak = time.perf_counter() - started, _peak_gb()
    cpu = time.process_time() - cpu_started
    widths = [high - low + 1 for low, high in found.ranks.values()]
    sys.stdout.write(
        f"{N_ENTRIES} entries x {N_UNITS} units x {N_RESAMPLES:,} resamples, "
        f"{N_ENTRIES * (N_ENTRIES - 1) // 2} pairs, {N_THREADS} threads: {seconds:.1f} s "
        f"({cpu:.1f} s of CPU), "
        f"peak {peak:.2f} GB ({peak - before:.2f} GB above the imports); "
        f"rank sets of {np.median(widths):.0f} ranks in the median\n"
    )
    _write_parts(values, names)
    return int(seconds > MOST_SECONDS or peak > MOST_GB)


def _write_parts(values: dict[str, np.ndarray], names: list[str]) -> None:
    """Print what each part costs with the weights of resamples at hand."""
    started = time.perf_counter()
    differences(values, names[:N_DECLARED], higher_is_better=True)
    sys.stdout.write(f"  differences and verdicts: {time.perf_counter() - started:.1f} s\n")
    methods: tuple[Method, ...] = ("bonferroni-t", "bootstrap max-T", "sign-flip max-T")
    for method in methods:
        started = time.perf_counter()
        rank_sets(values, higher_is_better=True, method=method)
        sys.stdout.write(f"  rank sets, {method}: {time.perf_counter() - started:.1f} s\n")


def _peak_gb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024**2


if __name__ == "__main__":
    sys.exit(main())
