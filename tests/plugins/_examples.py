"""A unit record of every task: how to shuffle its parts, and how to answer it well and badly."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

from leaderboard.embedding import Embedded
from leaderboard.errors import UndefinedScoreError
from leaderboard.spec import (
    AnnotationUnit,
    GenePropertyUnit,
    IntegrationUnit,
    Metric,
    ModalityUnit,
    PerturbationBoard,
    PerturbationUnit,
    RegulatorUnit,
)
from tests.metrics._screens import DEPTH, Screen, simulate

N_CELLS = 60
GENES = 40
PROFILES = (
    "predicted", "truth", "control_input", "control_truth", "weight", "reference", "variance",
    "control_variance", "predicted_variance", "predicted_error", "singles", "singles_error",
)  # fmt: skip


def each(registry: Any) -> pytest.MarkDecorator:
    """Run a test on every plug-in of a registry."""
    return pytest.mark.parametrize("plugin", list(registry.values()), ids=lambda p: str(p.name))


@dataclass(frozen=True, kw_only=True)
class Variant:
    """What is done to an example: nothing, by default."""

    order: int | None = None
    """Seed of a shuffle of cells and genes."""
    answer: str = "own"
    """``own``, ``truth`` or ``wrong``: the truth dealt to the wrong cells or genes."""
    seed: int = 0
    """Of a wrong answer."""


OWN, TRUTH = Variant(), Variant(answer="truth")


def annotation_unit(seed: int, how: Variant = OWN) -> AnnotationUnit:
    """60 cells of three classes, a rare label and one that training lacked."""
    rng = np.random.default_rng(seed)
    label = rng.permutation(np.resize(list("AAABBCCCCDDE"), N_CELLS))
    names = np.array(list("ABCDE"))
    right = label[:, None] == names
    noise = rng.dirichlet(np.ones(5), N_CELLS)
    is_unseen = label == "E"
    probability = 0.4 * np.where(is_unseen[:, None], 0.2, right) + 0.6 * noise
    if how.answer == "truth":
        probability = np.where(is_unseen[:, None], 0.2, right.astype(float))
    if how.answer == "wrong":
        dealt = np.random.default_rng([seed, how.seed]).permutation(N_CELLS)
        probability = (0.9 * right + 0.1 * noise)[dealt]
    predicted = names[probability.argmax(axis=1)]
    if how.answer == "truth":
        predicted = label
    classes = ("A", "B", "C")
    if how.order is not None:
        turn = np.random.default_rng(how.order)
        cells, columns = turn.permutation(N_CELLS), turn.permutation(5)
        label, predicted, is_unseen = label[cells], predicted[cells], is_unseen[cells]
        probability, names = probability[cells][:, columns], names[columns]
        classes = ("C", "A", "B")
    return AnnotationUnit(
        label=label, predicted=predicted, classes=classes, rare=("D", "E"), is_unseen=is_unseen,
        names=tuple(names), probability=probability,
    )  # fmt: skip


def integration_unit(seed: int, how: Variant = OWN) -> IntegrationUnit:
    """120 cells of three types in two batches, which a right answer mixes within the types.

    A wrong answer keeps the batches apart and deals the types to the wrong cells.
    """
    rng = np.random.default_rng(seed)
    label, batch = rng.permutation(np.resize(list("AAABBC"), 120)), rng.choice(["x", "y"], 120)
    place = np.searchsorted(list("ABC"), label)
    shift = {"truth": 0.0, "own": 0.6}.get(how.answer, 4.0)
    spread = {"truth": 0.1, "own": 0.5}.get(how.answer, 0.5)
    if how.answer == "wrong":
        place = np.random.default_rng([seed, how.seed]).permutation(place)
    embedding = 2.0 * np.eye(4)[place] + rng.normal(0.0, spread, (120, 4))
    embedding[:, 3] += np.where(batch == "x", shift, 0.0)
    table = pd.DataFrame(embedding, columns=["d0", "d1", "d2", "d3"])
    table = table.assign(cell_id=[f"c{i:03d}" for i in range(120)], label=label, unit=batch)
    if how.order is not None:
        table = table.sample(frac=1, random_state=how.order)
    cells = Embedded.of(table, {"isolated": ["A", "B", "C"], "batch_variance": 0.9})
    return IntegrationUnit(cells=cells, own=np.ones(120, dtype=bool))


def perturbation_unit(seed: int, how: Variant = OWN) -> PerturbationUnit:
    """A pair of perturbations that moves half of the genes, and six other truths."""
    rng = np.random.default_rng(seed)
    control = rng.uniform(0.5, 2.0, GENES)
    noise = rng.normal(scale=0.02, size=(4, GENES))
    shifts = rng.normal(scale=0.6, size=(7, GENES)) * (rng.random((7, GENES)) < 0.5)
    said = {"own": 0.5 * shifts[0] + noise[2], "truth": shifts[0] + noise[3]}
    wrong = np.random.default_rng([seed, how.seed]).permutation(said["truth"])
    spread = rng.uniform(0.05, 0.15, GENES)
    unit = PerturbationUnit(
        predicted=control + noise[0] + said.get(how.answer, wrong) - noise[1],
        truth=control + shifts[0] + noise[3],
        control_input=control + noise[0],
        control_truth=control + noise[1],
        weight=np.abs(shifts[0]),
        other_truths=control + shifts[1:],
        reference=control + shifts.mean(axis=0),
        n=N_CELLS,
        n_control=N_CELLS,
        variance=spread,
        control_variance=spread * 1.1,
        predicted_variance=spread * 0.9,
        predicted_error=np.full(GENES, 0.02**2),
        singles=2 * control + 0.3 * shifts[0] * (np.arange(GENES) % 2),
        singles_error=np.full(GENES, 1e-3),
    )
    if how.order is None:
        return unit
    turn = np.random.default_rng(how.order)
    order = turn.permutation(GENES)
    others = turn.permutation(unit.other_truths)[:, order]
    return replace(unit, other_truths=others, **{n: getattr(unit, n)[order] for n in PROFILES})


def stated_unit(seed: int, how: Variant = OWN) -> PerturbationUnit:
    """Means that miss by more in some genes; the truth states these errors, a wrong entry others'.

    An entry of its own knows half: every second gene has its error, the others one for all.
    """
    rng = np.random.default_rng([seed, 1])
    unit = perturbation_unit(seed)
    size = rng.lognormal(-2.0, 1.0, GENES)
    said = {"own": np.where(np.arange(GENES) % 2, size, np.median(size)), "truth": size}
    wrong = np.random.default_rng([seed, how.seed]).permutation(size)
    unit = replace(
        unit,
        predicted=unit.truth + size * rng.choice([-1.0, 1.0], GENES),
        predicted_error=said.get(how.answer, wrong) ** 2,
    )
    if how.order is None:
        return unit
    order = np.random.default_rng(how.order).permutation(GENES)
    return replace(unit, **{name: getattr(unit, name)[order] for name in PROFILES})


def perturbation_board(seed: int, how: Variant = OWN) -> PerturbationBoard:
    """Two folds of eight perturbations, missed by different amounts; statements as above."""
    rng = np.random.default_rng([seed, 2])
    size = rng.lognormal(-1.0, 1.0, 16)
    said = {"own": np.where(np.arange(16) % 2, size, np.median(size)), "truth": size}
    wrong = np.random.default_rng([seed, how.seed]).permutation(size)
    units = []
    for number, (missed, stated) in enumerate(zip(size, said.get(how.answer, wrong), strict=True)):
        unit = perturbation_unit(seed + 100 * number, how)
        error = np.full(GENES, stated**2)
        units.append(replace(unit, predicted=unit.truth + missed, predicted_error=error))
    block = np.repeat([0, 1], 8)
    if how.order is not None:
        order = np.random.default_rng(how.order).permutation(16)
        units, block = [units[k] for k in order], block[order]
    return PerturbationBoard(units=tuple(units), block=block)


def modality_unit(seed: int, how: Variant = OWN) -> ModalityUnit:
    """60 cells of two common types and a rare one, with 8 proteins that tell them apart."""
    rng = np.random.default_rng(seed)
    label = rng.permutation(np.resize(list("AAAAABBBBBBC"), N_CELLS))
    level = rng.normal(2.0, 1.0, (3, 8))
    truth = level[np.searchsorted(list("ABC"), label)] + rng.normal(0.0, 0.5, (N_CELLS, 8))
    predicted = 0.6 * truth + rng.normal(0.8, 0.5, truth.shape)
    if how.answer == "truth":
        predicted = truth.copy()
    if how.answer == "wrong":
        predicted = truth[np.random.default_rng([seed, how.seed]).permutation(N_CELLS)]
    if how.order is not None:
        turn = np.random.default_rng(how.order)
        cells, columns = turn.permutation(N_CELLS), turn.permutation(8)
        predicted, truth = (v[cells][:, columns] for v in (predicted, truth))
        label = label[cells]
    return ModalityUnit(predicted=predicted, truth=truth, label=label)


def regulator_unit(seed: int, how: Variant = OWN) -> RegulatorUnit:
    """40 candidates, 12 of them targets; half of the weights are right, a quarter is not given."""
    rng = np.random.default_rng(seed)
    sign = rng.permutation(np.resize([1.0, -1.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0], GENES))
    said = {"own": sign + rng.normal(scale=0.8, size=GENES), "truth": sign}
    wrong = np.random.default_rng([seed, how.seed]).permutation(sign)
    weight = said.get(how.answer, wrong)
    is_given = rng.random(GENES) < 0.75 if how.answer == "own" else weight != 0
    order = np.arange(GENES)
    if how.order is not None:
        order = np.random.default_rng(how.order).permutation(GENES)
    return RegulatorUnit(
        weight=np.where(is_given, weight, 0.0)[order],
        is_given=is_given[order],
        sign=sign[order],
        degree_auprc=0.4,
    )


def screen(seed: int, how: Variant = OWN) -> Screen:
    """A small screen whose predicted cells have some skill, all of it or none."""
    made = simulate(seed, n_perturbations=6, n_cells=30, n_genes=150, n_controls=80)
    if how.answer != "own":
        tested = np.flatnonzero((made.cells["role"] == "test").to_numpy())
        counts = made.counts[tested].toarray().astype(np.float64)
        counts *= DEPTH / counts.sum(axis=1, keepdims=True)
        if how.answer == "wrong":
            counts = np.random.default_rng([seed, how.seed]).permutation(counts, axis=1)
        made = replace(made, predicted_counts=counts)
    return made if how.order is None else shuffled(made, how.order)


def shuffled(made: Screen, seed: int) -> Screen:
    """The same screen with true cells, predicted cells and genes in another order."""
    rng = np.random.default_rng(seed)
    true, said, genes = (
        rng.permutation(n) for n in (len(made.cells), len(made.predicted), len(made.genes))
    )
    return replace(
        made,
        genes=tuple(np.array(made.genes)[genes]),
        counts=sp.csr_matrix(made.counts[true][:, genes]),
        cells=made.cells.iloc[true].reset_index(drop=True),
        predicted_counts=made.predicted_counts[said][:, genes],
        predicted=made.predicted.iloc[said].reset_index(drop=True),
    )


def unit_of_cells(seed: int, how: Variant = OWN) -> PerturbationUnit:
    """A record whose cells are those of a screen; only metrics of cells may read it so."""
    samples = screen(seed, how).samples()
    return replace(perturbation_unit(seed, how), cells=samples[min(samples)])


def needs_cells(metric: Metric) -> bool:
    """Whether a metric of perturbations looks at predicted cells."""
    if "perturbation_prediction" not in metric.tasks or metric.is_whole:
        return False
    try:
        metric.compute(perturbation_unit(0))
    except UndefinedScoreError as error:
        return "no predicted cells" in str(error)
    return False


def gene_property_unit(seed: int, how: Variant = OWN) -> GenePropertyUnit:
    """40 genes of two families and others; a third have the property."""
    rng = np.random.default_rng(seed)
    has = rng.permutation(np.resize([True, False, False], GENES))
    family = rng.permutation(np.resize(["ZNF", "HOX", "other", "other"], GENES))
    said = {"own": has + rng.normal(scale=0.8, size=GENES), "truth": has.astype(float)}
    wrong = np.random.default_rng([seed, how.seed]).permutation(has.astype(float))
    order = np.arange(GENES)
    if how.order is not None:
        order = np.random.default_rng(how.order).permutation(GENES)
    score = said.get(how.answer, wrong)
    return GenePropertyUnit(score=score[order], has_property=has[order], family=family[order])


STATED: dict[str, Callable[[int, Variant], Any]] = {
    "uncertainty_over_genes": stated_unit,
    "uncertainty_over_perturbations": perturbation_board,
}
"""By metric, its own examples: what is true, half right or wrong is what an entry states."""
UNITS: dict[str, Callable[[int, Variant], Any]] = {
    "batch_integration": integration_unit,
    "cell_type_annotation": annotation_unit,
    "gene_network": regulator_unit,
    "gene_property": gene_property_unit,
    "perturbation_prediction": perturbation_unit,
    "modality_prediction": modality_unit,
}


def units_of(metric: Metric, n: int, how: Variant = OWN) -> list[Any]:
    """Fresh units of every task of a metric."""
    if metric.name in STATED:
        return [STATED[metric.name](seed, how) for seed in range(n)]
    missing = set(metric.tasks) - set(UNITS)
    assert not missing, f"add an example unit of {missing} to UNITS in tests/plugins/_examples.py"
    if needs_cells(metric):
        return [unit_of_cells(seed, how) for seed in range(n)]
    return [UNITS[task](seed, how) for task in metric.tasks for seed in range(n)]
