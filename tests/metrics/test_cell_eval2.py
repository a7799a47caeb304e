"""Metrics of profiles equal cell-eval2's where definitions coincide, on the same pseudobulks."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from leaderboard.errors import UndefinedScoreError
from leaderboard.metrics import METRICS
from leaderboard.spec import PerturbationUnit

ORACLE = "cell-eval2 is the oracle: pip install cell-eval2==0.20.0 pdex==0.3.0"
discrimination: Any = pytest.importorskip("cell_eval2.metrics.discrimination", reason=ORACLE)
delta: Any = pytest.importorskip("cell_eval2.metrics.delta", reason=ORACLE)

N, N_GENES = 9, 80
NAMES = [f"G{i}" for i in range(N)]
GENES = [f"G{i}" for i in range(N_GENES)]
"""The first nine are the panel's targets: ours never reach a metric, theirs are excluded."""
CONTROL = "non-targeting"


def bulks(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return true and predicted profiles, the control mean last; two answers are alike."""
    rng = np.random.default_rng(seed)
    control = rng.uniform(0.2, 3.0, N_GENES)
    shared = rng.normal(scale=0.3, size=N_GENES)
    own = rng.normal(scale=0.3, size=(N, N_GENES))
    true = control + shared + own
    predicted = control + shared + 0.1 * own + rng.normal(scale=0.3, size=(N, N_GENES))
    predicted[1] = predicted[0]
    return np.vstack([true, control]), np.vstack([predicted, control])


def units(seed: int) -> dict[str, PerturbationUnit]:
    """Return our records of the same profiles, both shifts from one control mean as theirs are."""
    true, predicted = (profiles[:, N:] for profiles in bulks(seed))
    control, n_kept = true[-1], N_GENES - N
    return {
        name: PerturbationUnit(
            predicted=predicted[k], truth=true[k], control_input=control, control_truth=control,
            weight=np.ones(n_kept), other_truths=np.delete(true[:-1], k, axis=0),
            reference=control, n=50, n_control=200, variance=np.ones(n_kept),
            control_variance=np.ones(n_kept),
        )
        for k, name in enumerate(NAMES)
    }  # fmt: skip


def theirs(name: str, seed: int) -> dict[str, float]:
    true, predicted = bulks(seed)
    labels = np.array([*NAMES, CONTROL])
    kept = slice(None) if name == "pds" else slice(N, None)
    sides = {"pred_bulk": (labels, predicted[:, kept]), "real_bulk": (labels, true[:, kept])}
    if name == "pds":
        found = discrimination.discrimination_score(
            **sides, control=CONTROL, distance="cosine", rank_denominator="n-1",
            control_source="real", genes=np.array(GENES), exclusion_scope="panel",
        )  # fmt: skip
    elif name == "pearson_delta":
        found = delta.pearson_delta(**sides, control=CONTROL, control_source="real")
    else:
        found = getattr(delta, name)(**sides, control=CONTROL)
    return dict(found)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("name", ["pds", "mse", "mae", "pearson_delta"])
def test_every_perturbation_equals_cell_evals(name: str, seed: int) -> None:
    expected = theirs(name, seed)
    found = {key: METRICS[name].compute(case) for key, case in units(seed).items()}
    assert found == pytest.approx(expected, abs=1e-10)
    assert len(set(found.values())) > 2


def test_an_answer_without_a_shift_ties_with_all_in_both() -> None:
    true, _ = bulks(0)
    labels = np.array([*NAMES, CONTROL])
    flat = np.vstack([np.tile(true[-1], (N, 1)), true[-1]])
    expected = discrimination.discrimination_score(
        pred_bulk=(labels, flat), real_bulk=(labels, true), control=CONTROL, distance="cosine",
        rank_denominator="n-1", control_source="real", genes=np.array(GENES),
    )  # fmt: skip
    for name, case in units(0).items():
        same = replace(case, predicted=case.control_input)
        assert METRICS["pds"].compute(same) == expected[name] == 0.5
        with pytest.raises(UndefinedScoreError):  # theirs calls it the worst, -1
            METRICS["pearson_delta"].compute(same)
