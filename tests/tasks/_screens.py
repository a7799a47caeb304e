"""What several tests of perturbation boards start from, computed the plain way."""

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from leaderboard.cases import STRATA
from leaderboard.freeze import board_constants
from leaderboard.spec import CONTROL, Board, Case, Evidence
from leaderboard.tasks._moments import Moments, moments_of

if TYPE_CHECKING:
    from anndata import AnnData

N_GENES = 70
SINGLES = [f"G{i:03d}" for i in range(18)]
"""Those of tests/conftest.py: the first 12 move genes, the others none."""
STRONG, NULL = SINGLES[:12], SINGLES[12:]
TRUTH = ("test", "control_truth")


def scored_moments(case: Case) -> Moments:
    """The moments that scoring sees."""
    assert case.groups is not None
    assert case.moments is not None
    return moments_of(case.groups, case.moments)


def log_cells(counts: np.ndarray, factor: np.ndarray, target_sum: float) -> np.ndarray:
    """log1p of scaled counts, dense; zeros for a cell whose factor is zero."""
    safe = np.where(factor > 0, factor, 1.0)[:, None]
    values: np.ndarray = np.log1p(counts.astype(np.float64) / safe * target_sum)
    return np.where(factor[:, None] > 0, values, 0.0)


def dense_cells(screen: "AnnData", target_sum: float) -> np.ndarray:
    """log1p of counts scaled by the total of the panel."""
    counts = screen.X.toarray()
    return log_cells(counts, counts.sum(axis=1).astype(np.float64), target_sum)


def min_max(values: np.ndarray) -> np.ndarray:
    """Scale to 0..1."""
    scaled: np.ndarray = (values - values.min()) / (values.max() - values.min())
    return scaled


def hand_made(mean: dict[tuple[str, str, str], list[float]], n: float = 10) -> Moments:
    """Groups by (role, perturbation, context), of ``n`` cells each with variance 0.1."""
    role, perturbation, context = (np.array(part) for part in zip(*mean, strict=True))
    means = np.array(list(mean.values()))
    return Moments(
        role=role,
        perturbation=perturbation,
        context=context,
        unit=np.where(perturbation == CONTROL, "", perturbation),
        n=np.full(len(role), n),
        mean=means,
        variance=np.full_like(means, 0.1),
        genes=tuple(f"g{i}" for i in range(means.shape[1])),
    )


def truth_as_prediction(case: Case) -> pd.DataFrame:
    """Answer every query with its noisy truth, shifted from one control half to the other."""
    assert case.groups is not None
    assert case.moments is not None
    assert case.queries is not None
    table = case.moments.set_index("gene")
    groups = case.groups.itertuples()
    number = {(g.role, g.perturbation, g.context): k for k, g in enumerate(groups)}
    rows = []
    for p, c in case.queries.itertuples(index=False):
        keys = (("test", p, c), ("control_input", CONTROL, c), ("control_truth", CONTROL, c))
        test, shown, scored = (table[f"mean:{number[key]}"] for key in keys)
        rows.append(test + shown - scored)
    values = pd.DataFrame(np.stack(rows), columns=list(table.index))
    return pd.concat([case.queries.assign(statistic="mean"), values], axis=1)


def evidence_of(case: Case, prediction: pd.DataFrame, fold: int = 0) -> Evidence:
    """One fold as scoring sees it."""
    return Evidence(
        fold=fold, seed=0, prediction=prediction, truth=case.truth, queries=case.queries,
        moments=case.moments, groups=case.groups,
    )  # fmt: skip


def constants_of(adata: "AnnData", roles: pd.DataFrame, board: Board) -> dict[str, Any]:
    """What is frozen about a board without strata."""
    return board_constants(adata, roles, pd.DataFrame(columns=STRATA), board)


def constant_prediction(case: Case, value: float = 0.5) -> pd.DataFrame:
    """One number for every gene of every query."""
    assert case.queries is not None
    genes = list(map(str, case.inputs.var_names))
    values = pd.DataFrame(value, index=range(len(case.queries)), columns=genes)
    return pd.concat([case.queries.assign(statistic="mean"), values], axis=1)


def named_labels(case: Case) -> pd.DataFrame:
    """The true labels as an annotation."""
    return pd.DataFrame({"cell_id": case.truth["cell_id"], "label": case.truth["label"]})


def with_probabilities(case: Case) -> pd.DataFrame:
    """The true labels and the same probabilities for all cells."""
    return named_labels(case).assign(**{"p:A": 0.5, "p:B": 0.25, "p:C": 0.25})


def board_of(**changes: str) -> Board:
    """A perturbation board of the tiny screen."""
    usual = {
        "dataset": "tiny_screen", "task": "perturbation_prediction", "split": "perturbation",
        "unit": "perturbation", "context": "cell_type",
    }  # fmt: skip
    return Board(**{**usual, **changes})  # type: ignore[arg-type]
