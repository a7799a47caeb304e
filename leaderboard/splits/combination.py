"""New combinations: strata by how many of their single perturbations training has shown.

After the simulation split of GEARS (Roohani et al. 2024, doi:10.1038/s41587-023-01905-6), where a
gene counts as seen if it is in the list of training genes. Here *seen* means that the single
perturbation itself is observed in training or validation cells of the fold, and nothing is dropped.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd

from leaderboard.errors import SplitError
from leaderboard.spec import FoldRule, SplitRequest, Splitter
from leaderboard.splits._controls import perturbed, with_controls
from leaderboard.splits._perturbations import Names, fold_of_single, read_names
from leaderboard.splits._rules import generator, tidy, validation_groups

MIN_COMPLETE = 10
"""Combinations with all their singles below which each is left out by itself."""
SEEN = ("train", "validation")


@dataclass(frozen=True, kw_only=True)
class _Fold:
    """What one fold tests, and what it must not take for validation."""

    test: frozenset[str]
    protected: frozenset[str] = frozenset()


def _assign(obs: pd.DataFrame, request: SplitRequest) -> pd.DataFrame:
    """Hold out singles with all their combinations, and a share of the other combinations."""
    name = perturbed(obs, request)["perturbation"].astype(str)
    names = read_names(name)
    few = len(names.complete) < MIN_COMPLETE
    folds = _leave_one_out(names) if few else _k_folds(names, request.rule)
    parts = []
    for number, fold in enumerate(folds):
        free = set(name) - fold.test - fold.protected
        validation = validation_groups(free, request.rule, "combination", number) if free else set()
        if not validation:
            raise SplitError(
                f"combination: fold {number} leaves {len(free)} perturbation(s) to choose "
                "validation from; 2 are needed. Leave this board out of params.yaml."
            )
        role = {p: _role(p, fold, validation) for p in name.unique()}
        parts.append(pd.DataFrame({"cell_id": name.index, "fold": number, "role": name.map(role)}))
    return tidy(with_controls(pd.concat(parts, ignore_index=True), obs, request))


def _role(perturbation: str, fold: _Fold, validation: set[str]) -> str:
    if perturbation in fold.test:
        return "test"
    return "validation" if perturbation in validation else "train"


def _leave_one_out(names: Names) -> list[_Fold]:
    """Test each combination with all its singles alone; its singles are always trained on."""
    if not names.complete:
        raise SplitError(
            f"combination: none of {len(names.combinations)} combination(s) has all its single "
            "perturbations among the cells. Leave this board out of params.yaml."
        )
    return [_Fold(test=frozenset({c}), protected=names.combinations[c]) for c in names.complete]


def _k_folds(names: Names, rule: FoldRule) -> list[_Fold]:
    """Test the singles of each fold of the perturbation rule, and every combination with one."""
    fold_of = {str(p): int(f) for p, f in fold_of_single(names.singles, rule).items()}
    n_folds = max(fold_of.values()) + 1
    held = {
        c: {fold_of[part] for part in parts & names.singles}
        for c, parts in names.combinations.items()
    }
    own = _deal(held, n_folds, rule.seed)
    return [
        _Fold(
            test=frozenset(
                {p for p, f in fold_of.items() if f == k}
                | {c for c, folds in held.items() if k in folds or own.get(c) == k}
            )
        )
        for k in range(n_folds)
    ]


def _deal(held: Mapping[str, set[int]], n_folds: int, seed: int) -> dict[str, int]:
    """Give each combination one of the folds that hold out none of its singles, evenly.

    A combination whose singles are held out in every fold has none.
    """
    names = sorted(held)
    load = [0] * n_folds
    own: dict[str, int] = {}
    for position in generator(seed, "combination", "fold").permutation(len(names)):
        name = names[position]
        free = [k for k in range(n_folds) if k not in held[name]]
        if free:
            own[name] = min(free, key=lambda k: (load[k], k))
            load[own[name]] += 1
    return own


def _strata(obs: pd.DataFrame, roles: pd.DataFrame, unit: str) -> pd.DataFrame:
    """Name every test unit ``unseen_single`` or by the singles of its combination that are seen."""
    cells = obs.loc[roles["cell_id"]]
    named = roles.assign(
        perturbation=cells["perturbation"].to_numpy(dtype=str),
        unit=cells[unit].to_numpy(dtype=str),
    )
    parts = []
    for fold, rows in named.groupby("fold"):
        seen = set(rows.loc[rows["role"].isin(SEEN), "perturbation"])
        test = rows.loc[rows["role"] == "test", ["perturbation", "unit"]].drop_duplicates()
        stratum = [_stratum(p, seen) for p in test["perturbation"]]
        parts.append(test[["unit"]].assign(fold=fold, stratum=stratum))
    return pd.concat(parts)[["fold", "unit", "stratum"]].drop_duplicates()


def _stratum(perturbation: str, seen: set[str]) -> str:
    parts = perturbation.split("+")
    if len(parts) == 1:
        return "unseen_single"
    return f"combo_seen{sum(part in seen for part in parts)}"


SPLITTER = Splitter(
    name="combination", assign=_assign, column=lambda _board: "perturbation", strata=_strata
)
