"""``python -m tests.ablate_gears [FOLD ...] [VARIANT ...]``: what holds GEARS back.

Trains variants on folds of the simulated screen's unseen single perturbations (after `dvc repro`)
and sets each beside the training mean, unit by unit: responders with a neighbour in training.
``true`` joins perturbations whose true shifts are alike, held-out ones too: the best that a graph
can do, and no entry. Two models without a network use GEARS' own graph: the mean shift of the
trained neighbours, and the embedding that it turns into the training shifts by least squares.

Intervals are 95 % paired t over units.
"""

import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, cast
from unittest import mock

import numpy as np
import pandas as pd
from scipy import stats

from leaderboard import layout
from leaderboard.config import read_board_lock
from leaderboard.errors import UndefinedScoreError
from leaderboard.io import read_h5ad, read_parquet
from leaderboard.metrics import METRICS
from leaderboard.models import MODELS, gears
from leaderboard.models._gears_graph import nearest_edges, normalised
from leaderboard.models._gears_nodes import Nodes, perturbation_nodes
from leaderboard.models._inputs import (
    control_profiles,
    perturbation_prediction,
    training_shifts,
)
from leaderboard.spec import RunContext
from leaderboard.tasks._answers import predicted_profiles
from leaderboard.tasks._moments import moments_of
from leaderboard.tasks._perturbation import unit_parts

SUITE, DATASET = "known_truth", "sim_screen"
BOARD = "sim_screen-perturbation_prediction-perturbation"
SHOWN = ("nwmse", "pearson_delta", "pearson_delta_reference")
MEASURED: dict[str, Any] = {"graph": "coexpression", "patience": 2}
SIMPLE = ("neighbours' mean", "least squares on the graph")
PENALTY = 0.01
"""On squared coordinates, beside squared errors: small, the graph has singular values near 0."""
VARIANTS: Mapping[str, tuple[str, dict[str, Any]]] = {
    "as published": ("measured", {**MEASURED, "repaired": False}),
    "repaired": ("measured", MEASURED),
    "repaired, without direction": ("measured", {**MEASURED, "direction": False}),
    "repaired, squared error": ("measured", {**MEASURED, "gamma": 0.0}),
    "repaired, slow decay of the rate": ("measured", {**MEASURED, "decay": 0.8, "epochs": 10}),
    "repaired, 5 neighbours": ("measured", {**MEASURED, "neighbours": 5}),
    "repaired, no graph": ("measured", {**MEASURED, "graph": "none"}),
    "repaired, true graph": ("true", MEASURED),
}


class Fold:
    """One fold: what a model sees, and how its answer is scored."""

    def __init__(self, number: int) -> None:
        at = Path(BOARD) / layout.fold_name(number)
        cases, truth = layout.cases(SUITE, DATASET) / at, layout.truth(SUITE, DATASET) / at
        self.inputs = read_h5ad(cases / "inputs.h5ad")
        self.queries = read_parquet(cases / "queries.parquet")
        self.moments = moments_of(
            read_parquet(truth / "groups.parquet"), read_parquet(truth / "moments.parquet")
        )
        self.responders = set(read_board_lock(DATASET)[BOARD]["responders"])

    def scores(self, table: pd.DataFrame) -> Iterator[tuple[str, str, float]]:
        """Yield unit, metric and mean over contexts, of responders."""
        predicted = predicted_profiles(table, self.moments.genes)
        for unit, rows in self.moments.units().items():
            if unit not in self.responders:
                continue
            parts = unit_parts(self.moments, predicted, rows)
            for name in SHOWN:
                yield unit, name, float(np.mean([_value(name, part) for part in parts]))

    def informed(self) -> set[str]:
        """Return the queries with a neighbour in training by co-expression."""
        run = context()
        nodes = perturbation_nodes(self.inputs, self.queries, run, "coexpression", 20)
        names = {number: name for name, number in nodes.number.items()}
        trained = set(self.inputs.obs["perturbation"].astype(str))
        heard = nodes.edges.assign(
            source=nodes.edges["source"].map(names), target=nodes.edges["target"].map(names)
        )
        found = heard[heard["source"].isin(trained) & (heard["source"] != heard["target"])]
        return set(found["target"]) & set(self.queries["perturbation"].astype(str))

    def true_nodes(self) -> Nodes:
        """Return the graph of perturbations that truly do alike, test ones among them."""
        moments = self.moments
        shifts: dict[str, list[np.ndarray]] = {}
        for row, (perturbation, cells) in enumerate(
            zip(moments.perturbation, moments.context, strict=True)
        ):
            if perturbation != "control":
                start = moments.mean[moments.control_row("control_truth", str(cells))]
                shifts.setdefault(str(perturbation), []).append(moments.mean[row] - start)
        names = sorted(shifts)
        mean = np.stack([np.mean(shifts[name], axis=0) for name in names])
        unit = mean / np.linalg.norm(mean, axis=1, keepdims=True)
        edges = nearest_edges(unit @ unit.T, np.arange(len(names)), 0.1, 20)
        number = {name: k for k, name in enumerate(names)}
        return Nodes(number=number, edges=edges, share_go=0.0, share_coexpression=0.0)


def _value(name: str, part: Any) -> float:
    try:
        return METRICS[name].compute(part)
    except UndefinedScoreError:
        return float("nan")


def context() -> RunContext:
    """Return a run that logs nothing."""
    return RunContext(seed=0, threads=2, max_epochs=None, log=lambda *_: None)


def answers(fold: Fold, name: str) -> pd.DataFrame:
    """Return what a variant, or the training mean, predicts."""
    if name == "training mean":
        return cast(
            pd.DataFrame,
            MODELS["training_mean"].load().predict(fold.inputs, fold.queries, context()),
        )
    if name in SIMPLE:
        return on_the_graph(fold, least_squares=name == SIMPLE[1])
    graph, parameters = VARIANTS[name]
    model = gears.GearsModel(**parameters)
    if graph == "measured":
        return model.predict(fold.inputs, fold.queries, context())
    with mock.patch.object(gears, "perturbation_nodes", return_value=fold.true_nodes()):
        return model.predict(fold.inputs, fold.queries, context())


def on_the_graph(fold: Fold, *, least_squares: bool) -> pd.DataFrame:
    """Return what a model without a network makes of the graph that GEARS is given."""
    nodes = perturbation_nodes(fold.inputs, fold.queries, context(), "coexpression", 20)
    graph = normalised(nodes.edges, len(nodes.number)).to_dense().numpy().astype(np.float64)
    shifts = training_shifts(fold.inputs).groupby(level="perturbation").mean()
    known = [name for name in shifts.index if name in nodes.number]
    at = [nodes.number[name] for name in known]
    mean = shifts.loc[known].to_numpy().mean(axis=0)
    apart, heard = shifts.loc[known].to_numpy() - mean, graph[np.ix_(at, at)]
    if least_squares:
        apart = np.linalg.solve(heard.T @ heard + PENALTY * np.eye(len(at)), heard.T @ apart)
    added = []
    for name in fold.queries["perturbation"].astype(str):
        weights = graph[nodes.number[name], at] if name in nodes.number else np.zeros(len(at))
        total = 1.0 if least_squares else max(weights.sum(), 1e-12)
        added.append(mean + weights @ apart / total)
    start = control_profiles(fold.inputs).loc[fold.queries["context"]].to_numpy()
    return perturbation_prediction(fold.queries, start + np.stack(added), fold.inputs.var_names)


def main(folds: list[int], variants: Sequence[str]) -> None:
    """Print a line a variant: means, and paired differences to the training mean."""
    rows = []
    for number in folds:
        fold = Fold(number)
        informed = fold.informed()
        for name in ("training mean", *variants):
            started = time.time()
            scored = [s for s in fold.scores(answers(fold, name)) if s[0] in informed]
            rows += [(name, *s) for s in scored]
            print(f"fold {number}, {name}: {time.time() - started:.0f} s", file=sys.stderr)
    table = pd.DataFrame(rows, columns=["variant", "unit", "metric", "value"])
    print(f"{table['unit'].nunique()} unseen singles with a trained neighbour, folds {folds}")
    for metric in SHOWN:
        wide = table[table["metric"] == metric].pivot_table("value", "unit", "variant").dropna()
        print(f"\n{metric}: {len(wide)} units")
        for name in ("training mean", *variants):
            print(f"  {name:40s} {wide[name].mean():7.3f}  {_difference(wide, name)}")


def _difference(wide: pd.DataFrame, name: str) -> str:
    if name == "training mean":
        return ""
    gap = wide[name] - wide["training mean"]
    reach = stats.t.ppf(0.975, len(gap) - 1) * gap.std() / np.sqrt(len(gap))
    return f"difference {gap.mean():+.3f} [{gap.mean() - reach:+.3f}, {gap.mean() + reach:+.3f}]"


if __name__ == "__main__":
    numbers = [int(argument) for argument in sys.argv[1:] if argument.isdigit()]
    named = [argument for argument in sys.argv[1:] if not argument.isdigit()]
    main(numbers or list(range(5)), named or [*SIMPLE, *VARIANTS])
