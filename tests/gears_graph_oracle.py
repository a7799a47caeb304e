"""Both graphs of GEARS, built by cell-gears and by us from the same cells and terms."""

import tempfile
from pathlib import Path

import pandas as pd

from tests import gears_theirs
from tests.gears_screen import MIN_CORRELATION, N_NEIGHBOURS, Screen, simulate


def differences() -> dict[str, float]:
    """Return how many edges of both graphs one side has alone, and the largest weight apart."""
    from leaderboard.models._gears_graph import coexpression_edges, shared_sets_edges

    screen = simulate(5)
    shown = screen.log_counts[screen.is_in("train")]
    sets = _sets(screen)
    ours = {
        "coexpression": coexpression_edges(shown, MIN_CORRELATION, N_NEIGHBOURS),
        "ontology": shared_sets_edges(sets, screen.genes, screen.genes, N_NEIGHBOURS),
    }
    theirs = {"coexpression": _their_coexpression(screen), "ontology": _their_ontology(screen)}
    found = {}
    for name, edges in ours.items():
        both = edges.merge(theirs[name], on=["source", "target"], how="outer")
        found[f"{name} edges"] = float(both.isna().any(axis=1).sum())
        found[f"{name} weights"] = float((both["weight_x"] - both["weight_y"]).abs().max())
        found[f"{name} total"] = float(len(both))
    return found


def _sets(screen: Screen) -> list[frozenset[str]]:
    terms = sorted(frozenset().union(*screen.terms.values()))
    return [frozenset(g for g in screen.genes if term in screen.terms[g]) for term in terms]


def _numbered(edges: pd.DataFrame, screen: Screen) -> pd.DataFrame:
    number = {gene: k for k, gene in enumerate(screen.genes)}
    return pd.DataFrame(
        {
            "source": edges["source"].map(number), "target": edges["target"].map(number),
            "weight": edges["importance"],
        }
    )  # fmt: skip


def _their_coexpression(screen: Screen) -> pd.DataFrame:
    from gears.utils import get_coexpression_network_from_train

    with tempfile.TemporaryDirectory() as name:
        (Path(name) / "bench").mkdir()
        edges = get_coexpression_network_from_train(
            gears_theirs.adata(screen), MIN_CORRELATION, N_NEIGHBOURS, name, "bench", "custom", 1,
            None, {"train": screen.conditions("train")},
        )  # fmt: skip
    return _numbered(edges, screen)


def _their_ontology(screen: Screen) -> pd.DataFrame:
    from gears.utils import get_GO_edge_list

    terms = {gene: set(screen.terms[gene]) for gene in screen.genes}
    rows = [edge for gene in screen.genes for edge in get_GO_edge_list((gene, terms))]
    edges = pd.DataFrame(rows, columns=["source", "target", "importance"])
    nearest = edges.groupby("target").apply(
        lambda its: its.nlargest(N_NEIGHBOURS + 1, "importance")
    )
    return _numbered(nearest.reset_index(drop=True), screen)
