"""The graph of perturbations: which gene is which node, and what each hears."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from leaderboard.gene_sets import read_gmt
from leaderboard.models._coexpression import gene_embedding
from leaderboard.models._gears_graph import MIN_JACCARD, nearest_edges, shared_sets_edges
from leaderboard.models._go import FILE, RESOURCE, targets_of
from leaderboard.models._inputs import role_is
from leaderboard.models._resources import resource_file
from leaderboard.spec import RunContext

if TYPE_CHECKING:
    from anndata import AnnData

N_COMPONENTS = 10


@dataclass(frozen=True, kw_only=True)
class Nodes:
    """A node for every gene that may be perturbed."""

    number: dict[str, int]
    edges: pd.DataFrame
    """``source target weight``, into every perturbed gene and itself."""
    share_go: float
    """Share of the perturbed genes that GO terms place."""
    share_coexpression: float
    """Share that has no term and is placed by co-expression."""

    def of(self, perturbation: str) -> tuple[int, ...]:
        """Return the nodes that a perturbation targets, those that there are."""
        genes = perturbation.split("+")
        return tuple(self.number[gene] for gene in genes if gene in self.number)


def perturbation_nodes(
    inputs: "AnnData", queries: pd.DataFrame, run: RunContext, graph: str, k: int
) -> Nodes:
    """Return the graph of perturbed genes.

    With ``graph`` "go", as published: genes measured or perturbed that have a GO term, joined where
    they share terms. A perturbed gene without a term, or any with ``graph`` "coexpression", hears
    the perturbed genes that vary alike in control cells (cosine of their loadings above .1). What
    neither places has no node, unless it is perturbed in training: then it hears itself alone, as
    all do with ``graph`` "none".
    """
    targets = targets_of(inputs, queries)
    go = _go_nodes(targets, list(inputs.var_names.astype(str)), run) if graph == "go" else _Go()
    measured = set(inputs.var_names.astype(str)) if graph != "none" else set()
    without = [gene for gene in targets if gene not in go.number]
    joined = [gene for gene in without if gene in measured]
    trained = targets_of(inputs[role_is(inputs, "train")], queries.iloc[:0])
    alone = [gene for gene in without if gene not in measured and gene in trained]
    number = dict(go.number)
    for gene in [*joined, *alone]:
        number[gene] = len(number)
    edges = [go.edges(targets, k), _alike(inputs, targets, joined, number, k)]
    n = max(len(targets), 1)
    return Nodes(
        number=number,
        edges=pd.concat(edges, ignore_index=True),
        share_go=sum(gene in go.number for gene in targets) / n,
        share_coexpression=len(joined) / n,
    )


@dataclass(frozen=True)
class _Go:
    names: Sequence[str] = ()
    sets: Sequence[frozenset[str]] = ()

    @property
    def number(self) -> dict[str, int]:
        return {name: position for position, name in enumerate(self.names)}

    def edges(self, targets: Sequence[str], k: int) -> pd.DataFrame:
        return shared_sets_edges(self.sets, self.names, targets, k)


def _go_nodes(targets: Sequence[str], measured: Sequence[str], run: RunContext) -> _Go:
    if RESOURCE not in run.resources:
        return _Go()
    sets = list(read_gmt(resource_file(run, RESOURCE, FILE)).values())
    known = frozenset().union(*sets)
    return _Go(sorted(known & {*targets, *measured}), sets)


def _alike(
    inputs: "AnnData", targets: Sequence[str], joined: Sequence[str], number: dict[str, int], k: int
) -> pd.DataFrame:
    """Return edges into genes that no term places, from perturbed genes that vary alike."""
    nodes = [gene for gene in targets if gene in number and gene in inputs.var_names]
    if not joined:
        return nearest_edges(np.zeros((0, 1)), np.zeros(0, dtype=int), MIN_JACCARD, k)
    places = gene_embedding(inputs, N_COMPONENTS)
    cosine = _unit(places.loc[list(joined)]) @ _unit(places.loc[nodes]).T
    np.maximum(cosine, [[float(a == b) for b in nodes] for a in joined], out=cosine)
    receivers = np.array([number[gene] for gene in joined])
    edges = nearest_edges(cosine, receivers, MIN_JACCARD, k)
    numbers = np.array([number[gene] for gene in nodes])
    return edges.assign(source=numbers[edges["source"]])


def _unit(places: pd.DataFrame) -> np.ndarray:
    length = np.linalg.norm(places, axis=1, keepdims=True)
    values: np.ndarray = np.divide(
        places.to_numpy(), length, out=np.zeros(places.shape), where=length > 0
    )
    return values
