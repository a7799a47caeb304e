"""Which true perturbation is the predicted profile nearest to? (Virtual Cell Challenge 2026)"""

import numpy as np

from leaderboard.errors import UndefinedScoreError
from leaderboard.metrics._cells import controlled_sample_of
from leaderboard.spec import Metric, PerturbationUnit

NO_SHIFT = 1e-5
"""A shift that exceeds this in no gene, in log1p units, is the rounding of float32 cells: none."""
TIE = 1e-12
"""Cosines this close are equal: the same numbers summed in another order differ by less."""


def pds_cosine(case: PerturbationUnit) -> float:
    """One minus the share of other truths of the fold and context that are nearer; 1 is best.

    Nearness is the cosine of shifts of summed profiles from the ``control_truth`` profile, without
    the genes that the panel targets. Ties count half; without a shift the score is .5. A fold with
    one perturbation is undefined.
    """
    sample = controlled_sample_of(case)
    truth, row = sample.truth, sample.row
    if len(truth.rows) < 2:
        raise UndefinedScoreError("the fold tests one perturbation, so there is none to confuse")
    shift = (sample.panel.profiles[row] - truth.control_profile)[~truth.is_target]
    shift = shift if np.any(np.abs(shift) > NO_SHIFT) else np.zeros_like(shift)
    norm = np.linalg.norm(truth.shifts, axis=1) * np.linalg.norm(shift)
    cosine = np.divide(truth.shifts @ shift, norm, out=np.zeros_like(norm), where=norm > 0)
    gap = np.delete(cosine, row) - cosine[row]
    nearer = np.sum(gap > TIE) + 0.5 * np.sum(np.abs(gap) <= TIE)
    return float(1 - nearer / len(gap))


METRIC = Metric(
    name="pds_cosine",
    label="VCC 2026: discrimination",
    tasks=("perturbation_prediction",),
    compute=pds_cosine,
    bounds=(0.0, 1.0),
    higher_is_better=True,
    citation="ArcInstitute/cell-eval2 0.20, vcc2026 preset, docs/vcc2026_metrics section 1",
    floor=0.5,
    ceiling="noise",
    needs_control=True,
)
