"""The graph of perturbations: which gene is which node, and what each hears."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from leaderboard.gene_sets import read_gmt
from leaderboard.models._coexpression import gene_embedding
from leaderboard.models._gears_graph import (
    MIN_SIMILARITY,
    NO_EDGES,
    nearest_edges,
    shared_sets_edges,
)
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
    measured = set(inputs.var_names.astype(str))
    sets = _terms(run) if graph == "go" else []
    known = sorted(frozenset().union(*sets) & {*targets, *measured})
    without = [gene for gene in targets if gene not in set(known)]
    joined = [gene for gene in without if gene in measured] if graph != "none" else []
    trained = targets_of(inputs[role_is(inputs, "train")], queries.iloc[:0])
    isolated = trained if graph != "none" else targets
    alone = [gene for gene in without if gene not in joined and gene in isolated]
    number = {gene: place for place, gene in enumerate([*known, *joined, *alone])}
    by_terms = shared_sets_edges(sets, known, targets, k)
    edges = [by_terms, _alike(inputs, targets, joined, number, k)]
    n = max(len(targets), 1)
    return Nodes(
        number=number,
        edges=pd.concat(edges, ignore_index=True),
        share_go=(len(targets) - len(without)) / n,
        share_coexpression=len(joined) / n,
    )


def _terms(run: RunContext) -> list[frozenset[str]]:
    """Return the genes of every GO term; none where the model declares no such table."""
    if RESOURCE not in run.resources:
        return []
    return list(read_gmt(resource_file(run, RESOURCE, FILE)).values())


def _alike(
    inputs: "AnnData", targets: Sequence[str], joined: Sequence[str], number: dict[str, int], k: int
) -> pd.DataFrame:
    """Return edges into genes that no term places, from perturbed genes that vary alike."""
    if not joined:
        return NO_EDGES
    from sklearn.metrics.pairwise import cosine_similarity

    nodes = [gene for gene in targets if gene in number and gene in inputs.var_names]
    places = gene_embedding(inputs, N_COMPONENTS)
    cosine = cosine_similarity(places.loc[list(joined)], places.loc[nodes])
    edges = nearest_edges(cosine, [number[gene] for gene in joined], MIN_SIMILARITY, k)
    return edges.assign(source=np.array([number[gene] for gene in nodes])[edges["source"]])
