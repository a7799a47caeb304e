"""A gene that an entry sends the wrong way in every unit is found; one that it does not, is not."""

from dataclasses import replace

import numpy as np
import pandas as pd

from leaderboard.spec import PerturbationUnit
from leaderboard.tasks._direction import MIN_UNITS, N_GENES, direction_rows
from leaderboard.tasks._tables import FAILURES

GENES = tuple(f"G{k:02d}" for k in range(30))
Unit = list[tuple[tuple[str, ...], PerturbationUnit]]


def unit(seed: int, n_genes: int = len(GENES), *, sign: float = 1.0) -> PerturbationUnit:
    """Every gene moves by .5 up or down, ten standard errors; predicted is half of the truth."""
    rng = np.random.default_rng(seed)
    control, error = rng.uniform(1.0, 2.0, n_genes), 0.05
    shift = 0.5 * rng.choice([-1.0, 1.0], n_genes)
    return PerturbationUnit(
        predicted=control + sign * 0.5 * shift,
        truth=control + shift,
        control_input=control,
        control_truth=control,
        weight=np.ones(n_genes),
        other_truths=np.zeros((1, n_genes)),
        reference=control,
        n=100,
        n_control=100,
        variance=np.full(n_genes, 50 * error**2),
        control_variance=np.full(n_genes, 50 * error**2),
    )


def turned(part: PerturbationUnit, *genes: int) -> PerturbationUnit:
    shift = part.predicted - part.control_input
    shift[list(genes)] *= -1
    return replace(part, predicted=part.control_input + shift)


def table(units: list[Unit]) -> pd.DataFrame:
    return pd.DataFrame(list(direction_rows(units, seed=3)), columns=FAILURES)


def genes_of(found: pd.DataFrame) -> dict[str, tuple[float, int]]:
    rows = found[found["key"] == "wrong direction"]
    return {str(g): (v, n) for g, v, n in rows[["subject", "value", "n"]].itertuples(index=False)}


def test_a_gene_turned_in_every_unit_is_found_and_a_clean_one_is_not() -> None:
    found = table([[(GENES, turned(unit(k), 4))] for k in range(12)])
    assert genes_of(found) == {"G04": (1.0, 12)}
    assert set(found["seed"]) == {3}
    tested = found[found["key"] == "genes tested"]
    assert tested[["value", "n"]].to_numpy().tolist() == [[30, 12]]


def test_a_clean_entry_has_no_gene() -> None:
    found = table([[(GENES, unit(k))] for k in range(12)])
    assert genes_of(found) == {}


def test_the_surest_gene_comes_first() -> None:
    units: list[Unit] = []
    for k in range(12):
        genes = [7] + ([9] if k < 8 else []) + ([2] if k < 6 else [])
        units.append([(GENES, turned(unit(k), *genes))])
    assert list(genes_of(table(units)).items()) == [("G07", (1.0, 12)), ("G09", (8 / 12, 12))]


def test_genes_that_hardly_move_and_predictions_without_a_direction_have_no_vote() -> None:
    parts = [turned(unit(k), 4, 5) for k in range(8)]
    still = []
    for part in parts:
        truth, said = part.truth.copy(), part.predicted.copy()
        truth[4] = part.control_truth[4] + 2.9 * 0.05
        said[5] = part.control_input[5]
        still.append(replace(part, truth=truth, predicted=said))
    found = table([[(GENES, part)] for part in still])
    assert genes_of(found) == {}
    assert found["value"].to_list() == [28]


def test_fewer_than_five_votes_are_no_test() -> None:
    found = table([[(GENES, turned(unit(k), 4))] for k in range(MIN_UNITS - 1)])
    assert genes_of(found) == {}
    assert found["value"].to_list() == [0]


def test_contexts_and_folds_of_a_unit_have_one_vote_together() -> None:
    """Right by .25 in one context and wrong by .75 in the other is wrong on average."""
    units: list[Unit] = []
    for k in range(6):
        part = unit(k)
        shift = part.truth - part.control_truth
        wrong = replace(part, predicted=part.control_input - 1.5 * shift)
        units.append([(GENES, part), (GENES, wrong)])
    found = genes_of(table(units))
    assert len(found) == len(GENES)
    assert set(found.values()) == {(1.0, 6)}


def test_a_gene_that_one_fold_lacks_has_no_vote_in_that_unit() -> None:
    part = turned(unit(0), 4)
    profiles = (
        "predicted", "truth", "control_input", "control_truth", "variance", "control_variance",
        "weight", "reference",
    )  # fmt: skip
    cut = {name: getattr(part, name)[:-1] for name in profiles}
    short = replace(part, other_truths=part.other_truths[:, :-1], **cut)
    units: list[Unit] = [[(GENES, turned(unit(k), 4, 29))] for k in range(5)]
    units.append([(GENES, turned(unit(9), 4, 29)), (GENES[:-1], short)])
    found = genes_of(table(units))
    assert found["G29"] == (1.0, 5)
    assert found["G04"][1] == 6


def test_tables_stay_small_and_order_is_no_matter() -> None:
    names = tuple(f"G{k:03d}" for k in range(200))
    units: list[Unit] = [[(names, unit(k, 200, sign=-1.0))] for k in range(7)]
    found = table(units)
    assert len(found) == N_GENES + 1
    pd.testing.assert_frame_equal(found, table(units[::-1]))


def test_no_responder_gives_no_row() -> None:
    assert table([]).empty
