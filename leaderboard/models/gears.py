"""GEARS, trained from scratch on the training cells of a fold, as published or repaired."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float

from leaderboard.errors import PredictionError
from leaderboard.models._gears_nodes import Nodes, perturbation_nodes
from leaderboard.models._gears_plan import Repairs, Schedule
from leaderboard.models._go import RESOURCE
from leaderboard.models._inputs import (
    control_profiles,
    log_counts,
    perturbation_prediction,
    role_is,
    training_shifts,
)
from leaderboard.profiles import Counts, group_moments
from leaderboard.spec import CONTROL, Model, RunContext

if TYPE_CHECKING:
    from anndata import AnnData

    from leaderboard.models._gears import Gears
    from leaderboard.models._gears_fit import Held, Screen

N_TOP = 20
MIN_CORRELATION = 0.4
"""What joins two genes, as published."""
NORMAL_FOURTH = 3.0
"""Fourth central moment of a normal distribution, in squared variances."""


@dataclass(frozen=True, kw_only=True)
class Trained:
    """A trained network with what it takes to ask it."""

    network: "Gears"
    nodes: Nodes
    repairs: Repairs


@dataclass(frozen=True, kw_only=True)
class GearsModel(Schedule):
    """Roohani et al. 2024 (doi:10.1038/s41587-023-01905-6), after cell-gears 0.1.2.

    Parameters
    ----------
    repaired
        False: as published, where messages of the gene graph reach the first cell of a mini-batch
        only, the term on directions trains nothing, and a stated variance costs nothing.
    direction
        Whether the repaired term on directions is used.
    graph
        What joins perturbed genes: "go", "coexpression" or "none" (see ``perturbation_nodes``).
    uncertainty
        Whether the network states how unsure it is.
    hidden, neighbours
        Width, and how many neighbours a node hears at most.

    How long and how fast it is trained: see ``Schedule``.
    """

    repaired: bool = True
    direction: bool = True
    graph: str = "go"
    uncertainty: bool = False
    hidden: int = 64
    neighbours: int = 20

    def predict(self, inputs: "AnnData", queries: pd.DataFrame, run: RunContext) -> pd.DataFrame:
        """Return one profile a query: mean of its context's controls + what GEARS adds.

        A query none of whose genes has a node gets the mean training shift; logs the share of
        queries with a node, and of those that training informs through the graph. No single cells
        are given: a control cell + a constant is below 0 in many genes.
        """
        inputs = _sorted(inputs)
        trained = self._train(inputs, queries, run)
        added, stated = _asked(trained, inputs, queries)
        controls = control_profiles(inputs).loc[queries["context"]].to_numpy()
        table = perturbation_prediction(queries, controls + added, inputs.var_names)
        if stated is None:
            return table
        variance = np.sqrt(np.exp(np.clip(stated, -60, 60)) / NORMAL_FOURTH)
        noise = 2 * _control_variance(inputs).loc[queries["context"]].to_numpy()
        errors = perturbation_prediction(
            queries, np.maximum(variance - noise, 0.0), inputs.var_names
        )
        return pd.concat([table, errors.assign(statistic="mean_variance")], ignore_index=True)

    def _train(self, inputs: "AnnData", queries: pd.DataFrame, run: RunContext) -> Trained:
        import torch

        from leaderboard.models._gears import Gears, Shape
        from leaderboard.models._gears_fit import Training
        from leaderboard.models._gears_graph import coexpression_edges, normalised

        torch.manual_seed(run.seed)
        torch.set_num_threads(run.threads)
        torch.use_deterministic_algorithms(mode=True)
        values = log_counts(inputs)
        nodes = perturbation_nodes(inputs, queries, run, self.graph, self.neighbours)
        repairs = Repairs(
            messages=self.repaired,
            direction=self.repaired and self.direction,
            variance=self.repaired,
        )
        shown = values[_unpaired(inputs)].astype(np.float32)
        edges = coexpression_edges(shown, MIN_CORRELATION, self.neighbours)
        shape = Shape(
            n_genes=inputs.n_vars,
            n_nodes=max(len(nodes.number), 1),
            hidden=self.hidden,
            uncertainty=self.uncertainty,
        )
        network = Gears(
            shape, normalised(edges, shape.n_genes), normalised(nodes.edges, shape.n_nodes)
        ).to("cuda" if torch.cuda.is_available() else "cpu")
        _log_graphs(run, nodes, edges, inputs, queries)
        screen = _screen(inputs, values, nodes, run.seed)
        Training(network, screen, repairs, self).fit(run)
        return Trained(network=network, nodes=nodes, repairs=repairs)


def _sorted(inputs: "AnnData") -> "AnnData":
    """Return the cells in the order of their ids, so that no other order can matter."""
    return inputs[np.argsort(inputs.obs_names.to_numpy(dtype=str), kind="stable")].copy()


def _unpaired(inputs: "AnnData") -> Bool[np.ndarray, " cells"]:
    """Return the cells of the gene graph: controls and training singles, as published no pairs."""
    is_pair = inputs.obs["perturbation"].astype(str).str.contains("+", regex=False).to_numpy()
    unpaired: Bool[np.ndarray, " cells"] = role_is(inputs, "train", "control_input") & ~is_pair
    return unpaired


def _screen(inputs: "AnnData", values: Counts, nodes: Nodes, seed: int) -> "Screen":
    """Return what the network is trained on: training cells and controls; validation stops it.

    As published, each perturbed cell starts from a control cell drawn once, here of its context.
    """
    from leaderboard.models._gears_fit import Screen

    is_control = role_is(inputs, "control_input")
    cells = np.flatnonzero(is_control | role_is(inputs, "train"))
    names = inputs.obs["perturbation"].to_numpy(str)[cells]
    names[is_control[cells]] = CONTROL
    conditions = [CONTROL, *sorted(set(names) - {CONTROL})]
    number = {name: k for k, name in enumerate(conditions)}
    condition = np.array([number[name] for name in names])
    controls = control_profiles(inputs)
    context = controls.index.get_indexer(inputs.obs["context"].to_numpy(str)[cells])
    if (context < 0).any():
        raise PredictionError(
            "GEARS starts from control cells of a perturbed cell's context; some context has none. "
            f"It has them for: {', '.join(controls.index)}."
        )
    shown = values[cells].astype(np.float32)
    expressed = [shown[condition == k].getnnz(axis=0) > 0 for k in range(len(conditions))]
    expressed[0] = np.ones(inputs.n_vars, dtype=bool)
    return Screen(
        values=values.astype(np.float32),
        cells=cells,
        paired=_paired(cells, is_control, inputs.obs["context"].to_numpy(str), seed),
        condition=condition,
        targets=[(), *(nodes.of(name) for name in conditions[1:])],
        kept=np.stack(expressed),
        control=controls.to_numpy(dtype=np.float32),
        context=context,
        held=_held(inputs, values, nodes, controls),
    )


def _paired(
    cells: np.ndarray, is_control: np.ndarray, context: np.ndarray, seed: int
) -> np.ndarray:
    rng = np.random.default_rng(seed)
    paired = cells.copy()
    for name in np.unique(context[cells]):
        pool = np.flatnonzero(is_control & (context == name))
        perturbed = ~is_control[cells] & (context[cells] == name)
        paired[perturbed] = rng.choice(pool, int(perturbed.sum()))
    return paired


def _held(inputs: "AnnData", values: Counts, nodes: Nodes, controls: pd.DataFrame) -> "list[Held]":
    """Return what validation measures: mean profiles, and the genes that Welch's t puts first."""
    from leaderboard.models._gears_fit import Held

    chosen = role_is(inputs, "validation")
    keys = pd.MultiIndex.from_frame(inputs.obs[["perturbation", "context"]].astype(str))
    names = sorted(set(keys[chosen]))
    contexts = [*controls.index]
    group = np.full(len(keys), -1)
    if not names:
        raise PredictionError(
            "GEARS: no cell has the role validation, which decides when to stop. Draw the split of "
            "this board with validation cells."
        )
    group[chosen] = pd.MultiIndex.from_tuples(names).get_indexer(keys[chosen])
    is_control = role_is(inputs, "control_input")
    start_of = controls.index.get_indexer(keys.get_level_values(1)[is_control])
    group[is_control] = len(names) + start_of
    n, mean, variance = group_moments(values, group, len(names) + len(contexts))
    error = np.nan_to_num(variance) / n[:, None]
    held = []
    for k, (perturbation, context) in enumerate(names):
        start = len(names) + contexts.index(context)
        surely = np.abs(mean[k] - mean[start]) / np.sqrt(error[k] + error[start] + 1e-12)
        top = np.argsort(-surely, kind="stable")[:N_TOP]
        truth, targets = mean[k], nodes.of(perturbation)
        held.append(Held(targets=targets, start=mean[start], truth=truth, top=top))
    return held


def _asked(
    trained: Trained, inputs: "AnnData", queries: pd.DataFrame
) -> tuple[Float[np.ndarray, "queries genes"], Float[np.ndarray, "queries genes"] | None]:
    """Return what is added for every query, and the log variance if the network states one."""
    from leaderboard.models._gears_fit import added_by

    names = list(dict.fromkeys(queries["perturbation"].astype(str)))
    asked = [trained.nodes.of(name) for name in names]
    added, stated = added_by(trained.network, asked, trained.repairs)
    unplaced = [k for k, targets in enumerate(asked) if not targets]
    if unplaced:
        added[unplaced] = training_shifts(inputs).mean().to_numpy()
    place = pd.Index(names).get_indexer(pd.Index(queries["perturbation"].astype(str)))
    return added[place], None if stated is None else stated[place]


def _control_variance(inputs: "AnnData") -> pd.DataFrame:
    """Return the variance over control cells of every gene (columns) by context (index)."""
    is_control = role_is(inputs, "control_input")
    context = inputs.obs["context"].astype(str).to_numpy()
    names = np.unique(context[is_control])
    group = np.where(is_control, np.searchsorted(names, context), -1)
    _, _, variance = group_moments(log_counts(inputs), group, len(names))
    return pd.DataFrame(np.nan_to_num(variance), index=names, columns=inputs.var_names.astype(str))


def _log_graphs(
    run: RunContext, nodes: Nodes, edges: pd.DataFrame, inputs: "AnnData", queries: pd.DataFrame
) -> None:
    """Report how many genes the graphs join, and how many queries training can inform."""
    trained = inputs.obs.loc[role_is(inputs, "train"), "perturbation"].astype(str).unique()
    reach = {target: {target} for target in nodes.number.values()}
    for source, target in zip(nodes.edges["source"], nodes.edges["target"], strict=True):
        reach[target].add(source)
    heard = set().union(*(reach[n] for name in trained for n in nodes.of(name)))
    asked = [nodes.of(name) for name in queries["perturbation"].astype(str)]
    informed = [any(reach[n] & heard for n in targets) for targets in asked]
    joined = edges.loc[edges["source"] != edges["target"], "target"].nunique()
    run.log("genes_with_neighbours", joined / max(inputs.n_vars, 1), 0)
    run.log("targets_with_go_terms", nodes.share_go, 0)
    run.log("targets_by_coexpression", nodes.share_coexpression, 0)
    run.log("queries_with_a_node", float(np.mean([bool(targets) for targets in asked])), 0)
    run.log("queries_informed", float(np.mean(informed)), 0)


MODEL = Model(
    name="gears",
    label="GEARS",
    tasks=("perturbation_prediction",),
    load=GearsModel,
    is_stochastic=True,
    resources=(RESOURCE,),
)
