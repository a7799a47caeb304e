"""scANVI: scVI trained on, with the labels of training cells, and its own classifier."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pandas as pd

from leaderboard.models._inputs import annotation, fitted, labels, test_cells
from leaderboard.models._scvi import (
    LABEL,
    UNLABELLED,
    Size,
    cells_for_scvi,
    fit_scvi,
    genes_of,
    load_scvi,
    log_history,
    train,
)
from leaderboard.spec import Model, RunContext

if TYPE_CHECKING:
    from anndata import AnnData


@dataclass(frozen=True, kw_only=True)
class Scanvi(Size):
    """Xu et al. 2021, doi:10.15252/msb.20209620; test cells only pass encoder and classifier."""

    label_epochs: int = 20

    def annotate(self, inputs: "AnnData", run: RunContext) -> pd.DataFrame:
        """Return labels with probabilities; needs the extra ``scvi``."""
        package = load_scvi()
        genes = genes_of(inputs, self.n_genes)
        cells = cells_for_scvi(inputs, fitted(inputs), genes)
        model = package.model.SCANVI.from_scvi_model(
            fit_scvi(package, inputs, cells, self, run),
            unlabeled_category=UNLABELLED,
            labels_key=LABEL,
        )
        train(model, inputs, cells, min(self.label_epochs, run.max_epochs or self.label_epochs), 5)
        log_history(model, run, "train_accuracy", "validation_accuracy")
        names = sorted(set(labels(inputs)))
        shares = model.predict(cells_for_scvi(inputs, test_cells(inputs), genes), soft=True)
        shares = shares.loc[inputs.obs_names[test_cells(inputs)], names]
        shares = shares.div(shares.sum(axis=1), axis=0)
        return annotation(inputs, shares.idxmax(axis=1), (names, shares))


MODEL = Model(
    name="scanvi",
    label="scANVI",
    tasks=("cell_type_annotation",),
    load=Scanvi,
    is_stochastic=True,
)
