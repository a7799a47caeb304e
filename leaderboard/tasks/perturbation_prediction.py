"""Can a model predict what an unseen perturbation, or one in an unseen donor, does to a cell?"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from leaderboard.errors import PredictionError, TableError
from leaderboard.profiles import log_normalise, size_factors
from leaderboard.spec import Board, Case, Evidence, Observation, Task
from leaderboard.tasks._gate import freeze
from leaderboard.tasks._ids import opaque_ids
from leaderboard.tasks._moments import STATISTICS, describe, median_size_factor, moments_tables
from leaderboard.tasks._perturbation import (
    MIN_CONTROLS,
    Moments,
    read_moments,
    unit_parts,
)
from leaderboard.tasks._tables import FAILURES, bare, check_keys

if TYPE_CHECKING:
    from anndata import AnnData

COLUMNS = ("perturbation", "donor_id", "batch", "cell_type", "total_counts_all_genes")
INPUT_ROLES = ("train", "validation", "control_input")
N_TOP_GENES = 20


def _build_case(adata: "AnnData", roles: pd.DataFrame, board: Board, key: str) -> Case:
    """Show training and input control cells; ask for test cells without showing them."""
    real_role = roles.set_index("cell_id")["role"]
    ids = opaque_ids(real_role.index, key)
    role = real_role[ids.index]
    real = adata[ids.index]
    described = describe(real.obs, role, board)
    target_sum = median_size_factor(real.X, real.obs, role.to_numpy(), board)
    factor = size_factors(real.X, real.obs, board.size_factor)
    groups, moments = moments_tables(
        log_normalise(real.X, factor, target_sum), described, real.var_names
    )

    obs = real.obs[[c for c in COLUMNS if c in real.obs]].assign(
        role=role.to_numpy(dtype=str), context=described["context"], size_factor=factor
    )
    obs.index = pd.Index(ids.to_numpy(), name="cell_id")
    cells = bare(real.X, obs, real.var_names)
    is_input = np.isin(role, INPUT_ROLES)
    inputs, scored = cells[is_input].copy(), cells[~is_input].copy()
    inputs.uns = {"target_sum": target_sum, "size_factor": board.size_factor}
    truth = described[~is_input].assign(
        cell_id=ids.to_numpy()[~is_input], real_cell_id=ids.index[~is_input]
    )
    truth = truth[["cell_id", "real_cell_id", "role", "unit", "perturbation", "context"]]
    queries = truth.loc[truth["role"] == "test", ["perturbation", "context"]].drop_duplicates()
    return Case(
        inputs=inputs,
        truth=truth.reset_index(drop=True),
        queries=queries.sort_values(["perturbation", "context"]).reset_index(drop=True),
        truth_counts=scored,
        moments=moments,
        groups=groups,
    )


def _check_prediction(prediction: pd.DataFrame, keys: pd.DataFrame, names: Sequence[str]) -> None:
    keys = keys[["perturbation", "context"]].assign(statistic="mean")
    if "statistic" not in prediction:
        raise PredictionError(f"column statistic missing; got {list(prediction.columns)[:8]}")
    extra = sorted(set(prediction["statistic"]) - set(STATISTICS))
    if extra:
        raise PredictionError(f"statistic must be mean or variance, got {extra[:5]}")
    answered = prediction[prediction.columns.intersection(keys.columns)]
    check_keys(answered[answered["statistic"] == "mean"], keys)
    variance = answered[answered["statistic"] == "variance"]
    given = variance[["perturbation", "context"]].drop_duplicates()
    check_keys(variance, keys.assign(statistic="variance").merge(given))
    genes = [c for c in prediction.columns if c not in {"perturbation", "context", "statistic"}]
    if sorted(genes) != sorted(names):
        lacking, added = sorted(set(names) - set(genes)), sorted(set(genes) - set(names))
        raise PredictionError(
            f"expected the {len(names)} genes of the panel, missing {lacking[:5]}, "
            f"not in it {added[:5]}"
        )
    text = [g for g, dtype in prediction[genes].dtypes.items() if dtype.kind not in "iuf"]
    if text:
        raise PredictionError(f"{len(text)} gene column(s) hold no numbers, first {text[0]}")
    values = prediction[genes].to_numpy(dtype=np.float64)
    bad = ~np.isfinite(values).all(axis=1)
    if bad.any():
        row = prediction[bad].iloc[0]
        raise PredictionError(
            f"{bad.sum()} row(s) hold NaN or infinity, first perturbation={row['perturbation']}, "
            f"context={row['context']}; predict every gene"
        )


def predicted_profiles(
    prediction: pd.DataFrame, genes: Sequence[str]
) -> dict[tuple[str, str], np.ndarray]:
    """Return the predicted mean profile of every (perturbation, context)."""
    means = prediction[prediction["statistic"] == "mean"]
    values = means[list(genes)].to_numpy(dtype=np.float64)
    keys = zip(means["perturbation"], means["context"], strict=True)
    return dict(zip(keys, values, strict=True))


def _read(item: Evidence) -> tuple[Moments, dict[tuple[str, str], np.ndarray]]:
    if item.moments is None or item.groups is None:
        raise TableError(f"fold {item.fold}: the truth of a perturbation board lacks its moments.")
    moments = read_moments(item.groups, item.moments)
    return moments, predicted_profiles(item.prediction, moments.genes)


def _observe(
    evidence: Sequence[Evidence], _board: Board, _constants: Mapping[str, Any]
) -> list[Observation]:
    """Return one observation a unit; its parts are its perturbations and contexts."""
    observations = []
    for item in evidence:
        moments, predicted = _read(item)
        for unit, rows in moments.units().items():
            enough = [row for row in rows if moments.has_enough_controls(row)]
            contexts = sorted({str(c) for c in moments.context[rows]})
            reason = "; ".join(
                f"{moments.n_controls(c)} control cells in {c}, {MIN_CONTROLS} needed"
                for c in contexts
            )
            observations.append(
                Observation(
                    fold=item.fold,
                    seed=item.seed,
                    unit=unit,
                    n=int(moments.n[rows].sum()),
                    parts=unit_parts(moments, predicted, enough or rows),
                    undefined="" if enough else reason,
                )
            )
    return observations


def _failures(
    evidence: Sequence[Evidence], _board: Board, _constants: Mapping[str, Any]
) -> pd.DataFrame:
    """List the genes that truly move most in every unit, with true and predicted shift."""
    rows = []
    for item in evidence:
        moments, predicted = _read(item)
        for unit, members in moments.units().items():
            parts = unit_parts(moments, predicted, members)
            true = np.mean([p.truth - p.control_truth for p in parts], axis=0)
            said = np.mean([p.predicted - p.control_input for p in parts], axis=0)
            n = int(moments.n[members].sum())
            for position, gene in enumerate(np.argsort(-np.abs(true), kind="stable")[:N_TOP_GENES]):
                at = (item.fold, item.seed, "top_gene", unit, moments.genes[gene], position)
                rows += [(*at, "true", true[gene], n), (*at, "predicted", said[gene], n)]
    return pd.DataFrame(rows, columns=FAILURES)


TASK = Task(
    name="perturbation_prediction",
    label="Perturbation prediction",
    question="Can a model predict the effect of a perturbation, or its effect in new donors?",
    build_case=_build_case,
    check_prediction=_check_prediction,
    observe=_observe,
    failures=_failures,
    freeze=freeze,
    ranked_order=("nwmse", "pds", "pearson_delta_reference", "pearson_delta"),
    declared_baselines=("control-mean", "training-mean", "delta-shift"),
)
