"""cell-gears 0.1.2 on the benchmark's screen, driven through its own classes.

What its release needs to run today is given from outside: ``Series.nonzero``, which its call into
scipy asks of pandas, a working directory that it may write into, its file of GO terms, and graphs,
so that it downloads nothing.
"""

import contextlib
import pickle
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from tests.gears_screen import CONTROL, Graph, Screen

NAME = "bench"


def fit(
    screen: Screen, *, epochs: int, batch_size: int, hidden: int, device: str
) -> dict[str, Any]:
    """Train ``GEARS`` and return seconds of every part and what it trained on.

    An epoch of its ``train`` is a pass over the training cells, then its ``evaluate`` on training
    and validation cells; the calls to ``evaluate`` tell one from the other.
    """
    import gears.gears

    _mend()
    with tempfile.TemporaryDirectory() as name, contextlib.chdir(name):
        started = time.perf_counter()
        data = _pert_data(screen, batch_size)
        prepared = time.perf_counter() - started
        model = gears.gears.GEARS(data, device=device)
        model.model_initialize(hidden_size=hidden, **graphs(screen))
        gears.gears.evaluate = clock = _Clock(gears.gears.evaluate)
        model.train(epochs=epochs)
        parts = clock.split()
        held = clock(data.dataloader["val_loader"], model.best_model, False, device)
    scored, _ = gears.gears.compute_metrics(held)
    loader = data.dataloader["train_loader"]
    return {
        **parts, "prepare": prepared, "steps": len(loader),
        "cells": len(loader.dataset), "error": float(scored["mse"]),
    }  # fmt: skip


class _Clock:
    """Stands in for ``evaluate`` and keeps when each call began and ended."""

    def __init__(self, evaluate: Callable[..., Any]) -> None:
        self._evaluate = evaluate
        self._marks = [_now()]

    def __call__(self, *arguments: Any) -> Any:
        self._marks.append(_now())
        found = self._evaluate(*arguments)
        self._marks.append(_now())
        return found

    def split(self) -> dict[str, list[float]]:
        """Return seconds by epoch of training (CPU seconds too) and of evaluation, two calls."""
        ends = self._marks[::4]
        begins = self._marks[1::4]
        passed = [begin - end for end, begin in zip(ends[:-1], begins, strict=True)]
        return {
            "train": [float(p[0]) for p in passed],
            "train_cpu": [float(p[1]) for p in passed],
            "evaluation": [
                float((end - begin)[0]) for begin, end in zip(begins, ends[1:], strict=True)
            ],
        }


def _now() -> np.ndarray:
    return np.array([time.perf_counter(), time.process_time()])


def graphs(screen: Screen) -> dict[str, Any]:
    """Return both graphs under the names that ``model_initialize`` and ``GEARS_Model`` take."""
    found = {}
    for name, graph in (("G_coexpress", screen.coexpression), ("G_go", screen.ontology)):
        found[name], found[f"{name}_weight"] = edges(graph)
    return found


def edges(graph: Graph) -> tuple[Any, Any]:
    """Return edges as tensors: 2 x edges, and their weights."""
    import torch

    return torch.as_tensor(np.stack([graph.source, graph.target])), torch.as_tensor(graph.weight)


def _pert_data(screen: Screen, batch_size: int) -> Any:
    """Return its ``PertData`` with loaders of training and validation cells.

    Without a loader of test cells ``train`` ends after its last epoch.
    """
    from gears import PertData

    folder = Path("terms")
    folder.mkdir()
    (folder / "gene2go_all.pkl").write_bytes(
        pickle.dumps({gene: set(terms) for gene, terms in screen.terms.items()})
    )
    split = Path("split.pkl")
    split.write_bytes(pickle.dumps({p: screen.conditions(p) for p in ("train", "val", "test")}))
    data = PertData(str(folder), default_pert_graph=False)
    data.new_data_process(NAME, adata(screen))
    data.prepare_split("custom", split_dict_path=str(split))
    data.get_dataloader(batch_size)
    del data.dataloader["test_loader"]
    return data


def adata(screen: Screen) -> Any:
    """Return the cells as its classes take them."""
    from anndata import AnnData

    names = [f"c{i:06d}" for i in range(len(screen.condition))]
    obs = pd.DataFrame({"condition": list(screen.condition), "cell_type": "k"}, index=names)
    var = pd.DataFrame({"gene_name": screen.genes}, index=list(screen.genes))
    return AnnData(screen.log_counts.copy(), obs=obs, var=var)


def _mend() -> None:
    """Give pandas the method that scipy from 1.15 on asks of a mask that is a Series."""
    if not hasattr(pd.Series, "nonzero"):
        pd.Series.nonzero = lambda its: np.asarray(its).nonzero()  # type: ignore[attr-defined]


def kept_genes(screen: Screen) -> dict[str, np.ndarray]:
    """Return by condition which genes its loss counts: those that a cell of it expresses."""
    condition = np.asarray(screen.condition)
    return {
        name: np.flatnonzero(screen.log_counts[condition == name].sum(axis=0))
        for name in screen.part
        if name != CONTROL
    }
