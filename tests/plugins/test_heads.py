"""One embedding, every task: each head against a model of its own on the same places."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from sklearn.metrics.pairwise import cosine_similarity

from leaderboard.models import MODELS
from leaderboard.models._coexpression import gene_embedding
from leaderboard.models._heads import RIDGE, Heads
from leaderboard.models._hvg_pca import hvg_pca
from leaderboard.models._linear import Places, linear_annotation
from leaderboard.spec import Case, RunContext

if TYPE_CHECKING:
    from anndata import AnnData

Cases = dict[str, tuple[Case, Path]]
UNKNOWN = 3
RUN = RunContext(seed=0, threads=1, max_epochs=None, log=lambda *_: None)


@dataclass(frozen=True, kw_only=True)
class Known(Heads):
    """Places that other models have too; the first genes are unknown to it."""

    unknown: int = 0

    def place_cells(self, inputs: "AnnData", _run: RunContext) -> Places:
        return hvg_pca(inputs, 30, 8)

    def place_genes(self, inputs: "AnnData", _run: RunContext) -> pd.DataFrame:
        cells = inputs.copy()
        cells.obs["role"] = cells.obs["role"].astype(str).replace({"test": "control_input"})
        return gene_embedding(cells, 20).iloc[self.unknown :]


def test_heads_on_cells_are_the_baselines_on_the_same_places(cases: Cases) -> None:
    inputs = cases["cell_type_annotation"][0].inputs
    other = MODELS["logistic_regression"].load(n_genes=30, n_dims=8)
    pd.testing.assert_frame_equal(Known().annotate(inputs, RUN), other.annotate(inputs, RUN))
    inputs = cases["batch_integration"][0].inputs
    other = MODELS["hvg_pca"].load(n_genes=30, n_dims=8)
    pd.testing.assert_frame_equal(Known().embed(inputs, RUN), other.embed(inputs, RUN))
    inputs = cases["modality_prediction"][0].inputs
    other = MODELS["ridge_protein"].load(n_genes=30, n_dims=8)
    pd.testing.assert_frame_equal(
        Known().predict_proteins(inputs, RUN), other.predict_proteins(inputs, RUN)
    )


def test_the_head_on_targets_is_the_ridge_on_the_same_places(cases: Cases) -> None:
    case = cases["perturbation_prediction"][0]
    assert case.queries is not None
    asked = (case.inputs, case.queries, RUN)
    found = Known().predict(*asked)
    other = MODELS["coexpression_ridge"].load(n_dims=20, ridge=RIDGE).predict(*asked)
    pd.testing.assert_frame_equal(found, other)


def test_genes_get_their_places_and_unknown_ones_none(cases: Cases) -> None:
    case = cases["gene_property"][0]
    assert case.queries is not None
    places = Known(unknown=UNKNOWN).place_genes(case.inputs, RUN)
    found = Known(unknown=UNKNOWN).embed_genes(case.inputs, case.queries, RUN)
    assert found["gene"].tolist() == case.queries["gene"].tolist()
    known = found["gene"].isin(places.index).to_numpy()
    dims = found.drop(columns="gene").to_numpy()
    np.testing.assert_allclose(dims[known], places.loc[found["gene"][known]], rtol=1e-6)
    unknown = set(case.inputs.var_names[:UNKNOWN]) & set(found["gene"])
    assert set(found["gene"][~known]) == unknown
    assert unknown
    assert not dims[~known].any()


def test_edges_are_cosines_and_none_touches_an_unknown_gene(cases: Cases) -> None:
    case = cases["gene_network"][0]
    assert case.queries is not None
    places = Known().place_genes(case.inputs, RUN)
    found = Known(unknown=UNKNOWN).score_edges(case.inputs, case.queries, RUN)
    unknown = set(case.inputs.var_names[:UNKNOWN])
    assert not unknown & ({*found["regulator"]} | {*found["target"]})
    regulators = set(case.queries.loc[case.queries["is_regulator"], "gene"]) - unknown
    assert len(found) == len(regulators) * (len(places) - UNKNOWN - 1)
    cosine = pd.DataFrame(cosine_similarity(places), places.index, places.index)
    expected = [cosine.loc[r, t] for r, t in zip(found["regulator"], found["target"], strict=True)]
    np.testing.assert_allclose(found["weight"], expected, rtol=1e-4, atol=1e-6)


def test_an_embedding_that_holds_nothing_still_answers(cases: Cases) -> None:
    inputs = cases["cell_type_annotation"][0].inputs
    found = linear_annotation(inputs, np.zeros((inputs.n_obs, 3)), RUN)
    assert len(set(found["label"])) == 1
    assert np.isfinite(found.drop(columns=["cell_id", "label"]).to_numpy()).all()
