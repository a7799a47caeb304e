"""A gene's embedding from the Gene Ontology: the biological processes it is annotated with."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from leaderboard.gene_sets import read_gmt
from leaderboard.models._resources import resource_file
from leaderboard.spec import RunContext

if TYPE_CHECKING:
    from anndata import AnnData

RESOURCE = "go_bp_2021"
FILE = "GO_Biological_Process_2021.gmt"


def targets_of(inputs: "AnnData", queries: pd.DataFrame) -> list[str]:
    """Return every gene that training or a query perturbs, sorted; a pair counts as its genes."""
    named = [inputs.obs["perturbation"].dropna(), queries["perturbation"]]
    return sorted(
        {gene for names in named for p in names.astype(str).unique() for gene in p.split("+")}
    )


def go_embedding(
    genes: Iterable[str], run: RunContext, smallest: int, largest: int
) -> pd.DataFrame:
    """Return a row of unit length for every gene (index) that has a term; columns: terms.

    An entry is the information content of the term, -log of its share of all annotated genes
    (Resnik 1995, arXiv:cmp-lg/9511007), where the gene is a member, else 0. Terms have ``smallest``
    to ``largest`` genes: larger ones are shared by nearly everything and say little of a shift.
    Sizes are those of the whole collection, so the panel of a dataset does not move a row. Unit
    length, so that a gene that was studied more weighs no more.
    """
    sets = read_gmt(resource_file(run, RESOURCE, FILE))
    n_genes = len(frozenset().union(*sets.values()))
    kept = {term: sets[term] for term in sorted(sets) if smallest <= len(sets[term]) <= largest}
    names = list(genes)
    is_member = [[gene in members for members in kept.values()] for gene in names]
    content = np.log([n_genes / len(members) for members in kept.values()])
    rows = np.reshape(is_member, (len(names), len(kept))) * content
    length = np.linalg.norm(rows, axis=1)
    known = length > 0
    found = [name for name, has_term in zip(names, known, strict=True) if has_term]
    return pd.DataFrame(rows[known] / length[known, None], index=found, columns=list(kept))
