"""Unseen singles and combinations, held against a definition that looks at names one by one."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from leaderboard.cases import check_roles, digest, draw
from leaderboard.errors import LeakageError, SplitError
from leaderboard.spec import CONTROL
from leaderboard.splits import SPLITTERS
from leaderboard.splits._perturbations import read_names
from tests.splits._obs import (
    RULE,
    SIDES,
    assign,
    make_obs,
    perturbation_board,
    seeds,
    values_by_role,
)

PERTURBATION, COMBINATION = (SPLITTERS[n] for n in ("perturbation", "combination"))
BOARD = perturbation_board("combination")
n_singles = st.integers(4, 45)
n_doubles = st.integers(12, 70)
n_unmeasured = st.integers(0, 3)


def screen(singles: int, doubles: int, seed: int, unmeasured: int = 0) -> pd.DataFrame:
    """3 cells a perturbation in each of 2 cell types; some genes are only in combinations."""
    rng = np.random.default_rng(seed)
    names = [f"P{i:02d}" for i in range(singles)]
    genes = [*names, *(f"Q{i}" for i in range(unmeasured))]
    pairs = [f"{a}+{b}" for i, a in enumerate(genes) for b in genes[i + 1 :]]
    chosen = rng.permutation(pairs)[:doubles]
    cells = [(p, c) for p in [CONTROL, *names, *chosen] for c in ("k1", "k2")] * 3
    obs = pd.DataFrame(cells, columns=["perturbation", "cell_type"])
    obs.index = pd.Index([f"c{i:04d}" for i in rng.permutation(len(obs))])
    return obs


def drawn(obs: pd.DataFrame) -> tuple[pd.DataFrame, dict[int, dict[str, set[str]]], pd.DataFrame]:
    """Return the roles, the names by fold and side, and the strata of a combination board."""
    roles, strata = draw(obs, BOARD, RULE)
    values = values_by_role(roles, obs, "perturbation")
    folds = {int(f): {s: values[f, s] for s in SIDES} for f in roles["fold"].unique()}
    return roles, folds, strata


def stratum_of(name: str, sides: Mapping[str, set[str]]) -> str:
    """Return the stratum by its definition."""
    if "+" not in name:
        return "unseen_single"
    seen = 0
    for part in name.split("+"):
        if part in sides["train"] or part in sides["validation"]:
            seen += 1
    return {0: "combo_seen0", 1: "combo_seen1", 2: "combo_seen2"}[seen]


@pytest.mark.parametrize("singles", [0, 1, 3])
def test_fewer_than_four_singles_are_a_split_error_that_counts_them(singles: int) -> None:
    obs = make_obs(4, 0, n_singles=singles) if singles else screen(4, 12, 0)
    if not singles:
        obs = obs[obs["perturbation"].str.contains("+", regex=False)]
    with pytest.raises(SplitError, match=rf"perturbation: {singles} single perturbation\(s\)"):
        assign(PERTURBATION, obs)


@pytest.mark.parametrize(
    ("singles", "n_folds"),
    [(4, 2), (9, 2), (15, 2), (16, 2), (18, 2), (24, 3), (25, 3), (40, 5), (60, 5)],
)
def test_single_perturbations_are_cut_in_eights_into_two_to_k_folds(
    singles: int, n_folds: int
) -> None:
    roles = assign(PERTURBATION, make_obs(4, 0, n_singles=singles))
    assert roles["fold"].nunique() == n_folds


@given(seed=seeds)
def test_the_perturbation_split_uses_no_combination(seed: int) -> None:
    obs = make_obs(4, seed)
    roles = assign(PERTURBATION, obs)
    used = obs.loc[roles["cell_id"].unique(), "perturbation"]
    assert not used.str.contains("+", regex=False).any()
    singles = obs.index[~obs["perturbation"].str.contains("+", regex=False)]
    assert set(roles["cell_id"]) == set(singles)


@given(seed=seeds)
def test_a_perturbation_is_held_out_in_all_its_contexts_together(seed: int) -> None:
    obs = make_obs(4, seed)
    roles = assign(PERTURBATION, obs)
    n_roles = (
        roles.assign(p=obs.loc[roles["cell_id"], "perturbation"].to_numpy())
        .query("p != @CONTROL")
        .groupby(["fold", "p"])["role"]
        .nunique()
    )
    assert n_roles.max() == 1


def test_the_strata_of_the_perturbation_split_name_each_test_unit_once_as_unseen() -> None:
    obs = make_obs(4, 0)
    roles, strata = draw(obs, perturbation_board("perturbation"), RULE)
    tested = values_by_role(roles, obs, "perturbation")
    found = {fold: set(rows["unit"]) for fold, rows in strata.groupby("fold")}
    assert found == {f: tested[f, "test"] for f in found}
    assert set(strata["stratum"]) == {"unseen_single"}
    assert not strata.duplicated().any()


@given(singles=n_singles, doubles=n_doubles, extra=n_unmeasured, seed=seeds)
def test_every_stratum_is_what_a_look_at_each_name_says(
    singles: int, doubles: int, extra: int, seed: int
) -> None:
    _, folds, strata = drawn(screen(singles, doubles, seed, extra))
    found = set(strata.itertuples(index=False, name=None))
    expected = {(f, n, stratum_of(n, s)) for f, s in folds.items() for n in s["test"]}
    assert found == expected
    assert len(strata) == len(expected)


@given(singles=n_singles, doubles=n_doubles, extra=n_unmeasured, seed=seeds)
def test_no_combination_in_training_contains_a_held_out_single(
    singles: int, doubles: int, extra: int, seed: int
) -> None:
    obs = screen(singles, doubles, seed, extra)
    roles, folds, _ = drawn(obs)
    for sides in folds.values():
        held = {n for n in sides["test"] if "+" not in n}
        for name in sides["train"] | sides["validation"]:
            assert not held & set(name.split("+"))
    check_roles(roles, obs, BOARD)


@given(singles=n_singles, doubles=n_doubles, extra=n_unmeasured, seed=seeds)
def test_nothing_is_dropped_and_no_name_is_on_two_sides(
    singles: int, doubles: int, extra: int, seed: int
) -> None:
    obs = screen(singles, doubles, seed, extra)
    roles, folds, _ = drawn(obs)
    assert set(roles.groupby("fold").size()) == {len(obs)}
    for sides in folds.values():
        assert sum(map(len, sides.values())) == obs["perturbation"].nunique() - 1
        assert set().union(*sides.values()) == set(obs["perturbation"]) - {CONTROL}


@given(singles=st.integers(16, 45), doubles=st.integers(40, 70), extra=n_unmeasured, seed=seeds)
def test_folds_hold_out_the_singles_of_the_perturbation_rule_and_each_double_once_besides(
    singles: int, doubles: int, extra: int, seed: int
) -> None:
    obs = screen(singles, doubles, seed, extra)
    _, folds, _ = drawn(obs)
    rule = values_by_role(assign(PERTURBATION, obs), obs, "perturbation")
    held = {f: {n for n in s["test"] if "+" not in n} for f, s in folds.items()}
    assert held == {f: rule[f, "test"] for f in folds}
    for name in {n for n in obs["perturbation"] if "+" in n}:
        tested = {f for f, sides in folds.items() if name in sides["test"]}
        showing = {f for f, singles_ in held.items() if singles_ & set(name.split("+"))}
        assert showing <= tested
        assert len(tested - showing) == (1 if len(showing) < len(folds) else 0)


@given(seed=seeds)
def test_doubles_that_show_no_held_out_single_are_dealt_evenly(seed: int) -> None:
    _, _, strata = drawn(screen(40, 70, seed))
    own = strata[strata["stratum"] == "combo_seen2"].groupby("fold").size()
    assert own.sum() == 70
    assert own.max() - own.min() <= 2


@given(singles=n_singles, doubles=n_doubles, extra=n_unmeasured, seed=seeds)
def test_fifteen_percent_of_the_training_perturbations_are_for_validation(
    singles: int, doubles: int, extra: int, seed: int
) -> None:
    _, folds, strata = drawn(screen(singles, doubles, seed, extra))
    for fold, sides in folds.items():
        n = len(sides["train"] | sides["validation"])
        is_alone = len(strata[strata["fold"] == fold]) == 1
        assert len(sides["validation"]) == max(1, round(0.15 * (n - 2 if is_alone else n)))


@given(seed=seeds)
def test_the_order_of_cells_does_not_move_the_folds_of_a_large_screen(seed: int) -> None:
    obs = screen(20, 40, seed, 2)
    shuffled = obs.sample(frac=1, random_state=seed % 2**31).astype("category")
    assert digest(*draw(shuffled, BOARD, RULE)) == digest(*draw(obs, BOARD, RULE))


def few_doubles(n_complete: int) -> pd.DataFrame:
    """18 singles, ``n_complete`` doubles of them, and 10 doubles with a gene that has no single."""
    obs = screen(18, 0, 0)
    complete = [f"P{2 * i % 18:02d}+P{(2 * i + 1 + i // 9) % 18:02d}" for i in range(n_complete)]
    others = [f"P{i:02d}+Q{i}" for i in range(10)]
    rows = [(p, c) for p in [*complete, *others] for c in ("k1", "k2")]
    more = pd.DataFrame(rows, columns=list(obs.columns), index=[f"d{i}" for i in range(len(rows))])
    return pd.concat([obs, more])


@pytest.mark.parametrize("n_complete", [1, 5, 9])
def test_under_ten_complete_doubles_each_is_tested_alone_and_its_singles_are_trained_on(
    n_complete: int,
) -> None:
    obs = few_doubles(n_complete)
    roles, folds, strata = drawn(obs)
    complete = sorted(n for n in set(obs["perturbation"]) if "+" in n and "Q" not in n)
    assert [sides["test"] for sides in folds.values()] == [{name} for name in complete]
    assert len(complete) == n_complete
    assert list(strata["unit"]) == complete
    assert set(strata["stratum"]) == {"combo_seen2"}
    for name, sides in zip(complete, folds.values(), strict=True):
        assert set(name.split("+")) <= sides["train"]
        assert len(sides["validation"]) == round(0.15 * (28 + n_complete - 1 - 2))
    check_roles(roles, obs, BOARD)


def test_ten_complete_doubles_are_enough_for_folds_over_the_singles() -> None:
    _, folds, strata = drawn(few_doubles(10))
    assert len(folds) == 2
    assert "unseen_single" in set(strata["stratum"])


def test_a_screen_without_a_complete_double_is_a_split_error() -> None:
    with pytest.raises(SplitError, match="none of 10 combination"):
        draw(few_doubles(0), BOARD, RULE)


def test_a_screen_too_small_for_validation_is_a_split_error() -> None:
    obs = screen(2, 1, 0)
    with pytest.raises(SplitError, match="fold 0 leaves 0 perturbation"):
        draw(obs, BOARD, RULE)


@pytest.mark.parametrize(
    ("names", "told"),
    [
        (["A", "B", "A+B", "B+A"], "'B\\+A' is 'A\\+B' by another name"),
        (["A", "A+control"], "'A\\+control' is no combination"),
        (["A", "A+A"], "'A\\+A' is no combination"),
    ],
)
def test_a_combination_with_two_names_or_with_control_is_a_split_error(
    names: list[str], told: str
) -> None:
    with pytest.raises(SplitError, match=told):
        read_names([*names, CONTROL])


def test_names_are_told_apart_and_control_is_none_of_them() -> None:
    names = read_names(["A", "B", "A+B", "A+C", CONTROL, "A"])
    assert names.singles == {"A", "B"}
    assert set(names.combinations) == {"A+B", "A+C"}
    assert names.complete == ["A+B"]


def test_a_combination_in_training_that_shows_a_held_out_single_stops_the_split() -> None:
    obs = screen(20, 40, 0)
    roles, folds, _ = drawn(obs)
    held = {n for n in folds[0]["test"] if "+" not in n}
    shown = next(n for n in sorted(folds[0]["test"]) if "+" in n and held & set(n.split("+")))
    cells = obs.index[obs["perturbation"] == shown]
    roles.loc[(roles["fold"] == 0) & roles["cell_id"].isin(cells), "role"] = "train"
    with pytest.raises(LeakageError, match=r"fold 0: 1 combination\(s\) in training contain a"):
        check_roles(roles, obs, BOARD)
