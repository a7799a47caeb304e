"""``make calibration``: how often intervals, rank sets and verdicts are right, on simulated boards.

Every row of the table is a setting: 2,000 boards of one number of units G, one shape of unit and
one way in which folds tie scores together. A board has 5 to 15 entries, of which 3 are declared
baselines; true means are drawn from four levels, so most boards hold ties. ``judge`` is called on
every board as ``rank`` calls it (with 1,999 resamples instead of 10,000, drawn anew for every
board).

What is covered
---------------
The target is conditional on the folds' models (STATISTICS: "given these folds"): the mean over
units of the score that those very models are expected to have, not the mean over training sets
that were never drawn. Entry e on unit u of fold k scores

``effects``
    theta_e + a_u + f_ek + noise_eu. The fold's model adds f_ek to every unit that it is tested on,
    30 % of the variance within an entry. f is centred over the board's units, so that theta_e is
    the mean given these folds.
``training``
    theta_e - [(x_u - m_ek)^2 - (1 + mean_k m_ek^2)] / 2 + noise_eu. x_u is what sets a unit apart,
    and m_ek what the model of fold k learned of it: the shrunken mean of x over its training
    units, each measured with an error of the entry's own. So the units of a fold share a model,
    models of different folds share training units, and a unit that is tested in one fold trains
    all others. The bracket has mean zero given the models (Bayle, Bayle, Janson & Mackey 2020,
    "Cross-validation confidence intervals for test error": the target of k-fold intervals).

Folds follow the splitters: one unit a fold up to 8 units, else 5 folds. Units are normal, heavy
(t with 3 degrees of freedom) or lognormal, each scaled to variance 1.

The columns
-----------
paired
    Share of differences to the declared baselines whose interval holds the true one. At least .93.
ranks
    Share of boards on which every rank set holds every true rank. At least .95.
tied
    The same where all entries are equal but two baselines far below: the hardest truth for rank
    sets, as all pairs but those may be told apart wrongly. At least .95.
false yes
    Share of these tied boards on which an entry is said to beat every baseline; it equals the best
    of them. At most .05.
raw, new folds
    Without a criterion: raw intervals about the target above; and differences about the mean over
    training sets (``effects`` only), which intervals of one set of folds do not promise to cover.
apart
    Share of truly different pairs that rank sets tell apart.

A criterion is met within two Monte-Carlo standard errors; lognormal rows have none.
"""

import math
import resource
import sys
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from itertools import repeat

import numpy as np
from threadpoolctl import threadpool_limits

from leaderboard.inference._paired import Estimate, estimate
from leaderboard.inference._resampling import Resampling
from leaderboard.inference.judge import Comparison, Roles, judge
from tests.calibration_boards import Board, Setting, simulate

UNITS = (4, 6, 8, 12, 30, 100)
SHAPES = ("normal", "heavy", "lognormal")
DEPENDENCE = ("effects", "training")
N_BOARDS = 2000
N_PROCESSES = 2
N_RESAMPLES = 1999
LEAST_PAIRED, LEAST_RANKS, MOST_FALSE = 0.93, 0.95, 0.05
N_DECLARED = 3
FAR_BELOW = 10.0
NOT_KNOWN = math.nan
COLUMNS = ("paired", "ranks", "tied", "false yes", "raw", "new folds", "apart")


@dataclass(frozen=True, kw_only=True)
class Measured:
    """Mean of every column over boards."""

    setting: Setting
    mean: Mapping[str, float]
    paired_error: float
    """Monte-Carlo standard error of ``paired``; differences of one board are dependent."""
    n: int

    @property
    def missed(self) -> list[str]:
        """The criteria that are missed by more than two standard errors."""
        if not self.setting.has_criteria:
            return []
        error = float(np.sqrt(MOST_FALSE * (1 - MOST_FALSE) / self.n))
        is_missed = {
            "paired": self.mean["paired"] + 2 * self.paired_error < LEAST_PAIRED,
            "ranks": self.mean["ranks"] + 2 * error < LEAST_RANKS,
            "tied": self.mean["tied"] + 2 * error < LEAST_RANKS,
            "false yes": self.mean["false yes"] - 2 * error > MOST_FALSE,
        }
        return [name for name, missed in is_missed.items() if missed]


def measure(setting: Setting, n_boards: int = N_BOARDS) -> Measured:
    """Simulate boards of one setting, judge them, and count."""
    rng = np.random.default_rng([*_key(setting), n_boards])
    with threadpool_limits(1):  # small matrices; settings run side by side
        rows = [_count(simulate(rng, setting), k) for k in range(n_boards)]
    columns = {name: np.array([row[name] for row in rows]) for name in COLUMNS}
    return Measured(
        setting=setting,
        mean={name: _mean(column) for name, column in columns.items()},
        paired_error=float(columns["paired"].std(ddof=1) / np.sqrt(n_boards)),
        n=n_boards,
    )


def _mean(column: np.ndarray) -> float:
    known = column[~np.isnan(column)]
    return float(known.mean()) if len(known) else NOT_KNOWN


def _key(setting: Setting) -> tuple[int, int, int]:
    return setting.n_units, SHAPES.index(setting.shape), DEPENDENCE.index(setting.dependence)


def judged(scores: np.ndarray, k: int) -> Comparison:
    """Judge scores as ``rank`` does; the first three entries are the declared baselines."""
    names = [f"e{e:02d}" for e in range(len(scores))]
    return judge(
        dict(zip(names, scores, strict=True)),
        Roles(judged=names[N_DECLARED:], declared=names[:N_DECLARED], family=names),
        higher_is_better=True,
        with_checks=False,
        resampling=Resampling(n=N_RESAMPLES, seed=k),
    )


def _count(board: Board, k: int) -> dict[str, float]:
    """Return the columns of one board; NaN where one has no value."""
    found, tied = judged(board.scores, k), _tied(board)
    found_tied, over_folds = judged(tied.scores, k), board.over_folds
    return {
        "paired": _covered(found, board.truth),
        "ranks": float(_holds_ranks(found, board.truth)),
        "tied": float(_holds_ranks(found_tied, tied.truth)),
        "false yes": float("yes" in found_tied.verdicts.values()),
        "raw": _covered_raw(board),
        "new folds": NOT_KNOWN if over_folds is None else _covered(found, over_folds),
        "apart": _apart(found, board.truth),
    }


def _covered(found: Comparison, truth: np.ndarray) -> float:
    """Return the share of differences to declared baselines that hold the true ones."""
    return float(
        np.mean(
            [
                _holds(lead.estimate, truth[e] - truth[b])
                for e in range(N_DECLARED, len(truth))
                for b, lead in enumerate(found.differences[f"e{e:02d}"])
            ]
        )
    )


def _holds(found: Estimate, value: float) -> bool:
    return found.low is not None and found.high is not None and found.low <= value <= found.high


def _true_sets(truth: np.ndarray) -> np.ndarray:
    """Return the first and last true rank (entries x 2); equal entries share them."""
    better = (truth[:, None] < truth).sum(axis=1)
    worse = (truth[:, None] > truth).sum(axis=1)
    return np.stack([1 + better, len(truth) - worse], axis=1)


def _sets(found: Comparison) -> np.ndarray:
    return np.array([found.ranks[name] for name in sorted(found.ranks)])


def _holds_ranks(found: Comparison, truth: np.ndarray) -> bool:
    sets, true = _sets(found), _true_sets(truth)
    return bool((sets[:, 0] <= true[:, 0]).all() and (sets[:, 1] >= true[:, 1]).all())


def _apart(found: Comparison, truth: np.ndarray) -> float:
    """Return the share of truly different pairs that the rank sets tell apart."""
    n = len(truth)
    different = n * (n - 1) - (_true_sets(truth) @ [-1, 1]).sum()
    told = n * (n - 1) - (_sets(found) @ [-1, 1]).sum()
    return float(told / different) if different else NOT_KNOWN


def _tied(board: Board) -> Board:
    """Return the board with all entries equal but two baselines, which are far below."""
    truth = np.zeros(len(board.truth))
    truth[1:N_DECLARED] -= FAR_BELOW
    scores = board.scores + (truth - board.truth)[:, None]
    return Board(scores=scores, truth=truth, over_folds=None)


def _covered_raw(board: Board) -> float:
    return float(
        np.mean([_holds(estimate(s), t) for s, t in zip(board.scores, board.truth, strict=True)])
    )


def settings() -> Iterator[Setting]:
    """Yield the rows of the table."""
    for dependence in DEPENDENCE:
        for shape in SHAPES:
            for n_units in UNITS:
                yield Setting(n_units=n_units, shape=shape, dependence=dependence)


def line(found: Measured) -> str:
    """Write a row of the table; a missed criterion has a star."""
    setting = found.setting
    values = {c: "-" if math.isnan(v) else f"{v:.3f}" for c, v in found.mean.items()}
    cells = (f"{values[c]:>9s}{'*' if c in found.missed else ' '}" for c in COLUMNS)
    return f"{setting.dependence:9s} {setting.shape:10s} {setting.n_units:4d} {''.join(cells)}"


def main(n_boards: int = N_BOARDS) -> int:
    """Print the table; return 1 if a criterion is missed anywhere."""
    started = time.perf_counter()
    head = "".join(f"{c:>9s} " for c in COLUMNS)
    sys.stdout.write(f"{'folds':9s} {'units':10s} {'G':>4s} {head}\n")
    n_missed = 0
    with ProcessPoolExecutor(N_PROCESSES) as pool:
        for found in pool.map(measure, list(settings()), repeat(n_boards)):
            sys.stdout.write(line(found) + "\n")
            sys.stdout.flush()
            n_missed += len(found.missed)
    seconds = time.perf_counter() - started
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = used.ru_utime + used.ru_stime
    error = np.sqrt(0.05 * 0.95 / n_boards)
    sys.stdout.write(
        f"{n_boards} boards a row in {seconds:.0f} s ({cpu:.0f} s of CPU). paired >= "
        f"{LEAST_PAIRED}, ranks and tied >= {LEAST_RANKS}, false yes <= {MOST_FALSE}, each "
        "within two Monte-Carlo standard errors "
        f"(of a share of .05: {error:.4f}), except lognormal. Missed: {n_missed}.\n"
    )
    return int(n_missed > 0)


if __name__ == "__main__":
    sys.exit(main(*map(int, sys.argv[1:])))
