"""Checks of a split itself: groups, roles, controls, combinations, size."""

from collections.abc import Iterator
from dataclasses import replace

from leaderboard.audit._record import BoardFiles, Finding, FoldFiles, finding
from leaderboard.cases import select
from leaderboard.spec import CONTROL
from leaderboard.splits import SPLITTERS

MIN_SINGLES = 16
"""Single perturbations of a board below which it may not rank."""


def check_groups(files: FoldFiles) -> Iterator[Finding]:
    """Look for values of the held-out column on both sides.

    Training and validation share a value where it is the only one that the fold can train on, and
    only there.
    """
    column = SPLITTERS[files.board.split].column(files.board)
    if column is None:
        return
    side = _values(files, column)
    for one, other in (("train", "test"), ("validation", "test")):
        shared = sorted(side[one] & side[other])
        yield finding(files, "groups", shared, f"{column} in both {one} and {other}")
    if len(side["train"] | side["validation"]) == 1:
        yield _only_group(files, column)
        return
    shared = sorted(side["train"] & side["validation"])
    yield finding(files, "groups", shared, f"{column} in both train and validation")


def _values(files: FoldFiles, column: str) -> dict[str, set[str]]:
    """Return the values of a column by role; a cell unknown to the dataset has none."""
    value = files.obs[column].astype(str).reindex(files.roles["cell_id"])
    role = files.roles["role"].to_numpy()
    return {r: set(value[role == r].dropna()) for r in ("train", "validation", "test")}


def _only_group(files: FoldFiles, column: str) -> Finding:
    ok = finding(files, "groups", [], "")
    said = f"one {column} is left to train on, so validation takes some of its cells"
    return replace(ok, message=said)


def check_roles(files: FoldFiles) -> Iterator[Finding]:
    """Look for cells with two roles or unknown to the dataset, and for empty roles."""
    cells = files.roles["cell_id"]
    yield finding(files, "roles", list(cells[cells.duplicated()]), "cell(s) with two roles")
    unknown = cells[~cells.isin(files.obs.index)]
    yield finding(files, "roles", list(unknown), "cell(s) that the dataset does not hold")
    roles = ["train", "validation", "test"]
    if not SPLITTERS[files.board.split].holds_out:
        roles = ["test"]
    if files.board.context is not None:
        roles += ["control_input", "control_truth"]
    empty = sorted(set(roles) - set(files.roles["role"]))
    yield finding(files, "roles", empty, "role(s) without cells")


def check_controls(files: FoldFiles) -> Iterator[Finding]:
    """Look for controls outside their roles, and for scored cells among the inputs."""
    if files.board.context is None:
        return
    role = files.roles.set_index("cell_id")["role"]
    is_control = files.obs["perturbation"].astype(str).reindex(role.index) == "control"
    has_role = role.isin(["control_input", "control_truth"])
    wrong = role.index[is_control.to_numpy() != has_role.to_numpy()]
    yield finding(files, "controls", list(wrong), "cell(s) with the role of the other kind")
    shared = set(files.truth["cell_id"]) & set(files.inputs.obs_names)
    yield finding(files, "controls", sorted(shared), "scored cell(s) among the inputs")


def check_combinations(files: FoldFiles) -> Iterator[Finding]:
    """Look for combinations in training that show what is held out.

    One that contains a held-out single shows it; one that is tested under another order of its
    names is the same combination. Singles of a tested combination in training are a stratum of the
    board and no fault; the combination itself beside them leaves nothing to predict.
    """
    if SPLITTERS[files.board.split].column(files.board) != "perturbation":
        return
    side = _values(files, "perturbation")
    trained = {p: frozenset(p.split("+")) for p in side["train"] | side["validation"]}
    tested = {frozenset(p.split("+")) for p in side["test"]}
    singles = {p for p in side["test"] if "+" not in p}
    combinations = {p: parts for p, parts in trained.items() if len(parts) > 1}
    showing = [p for p, parts in combinations.items() if parts & singles]
    yield finding(
        files, "combinations", showing, "combination(s) in training that contain a held-out single"
    )
    renamed = [p for p, parts in combinations.items() if parts in tested and p not in side["test"]]
    yield finding(
        files, "combinations", renamed, "combination(s) in training and in test by another name"
    )
    known = [p for p in combinations.keys() & side["test"] if combinations[p] <= trained.keys()]
    yield finding(
        files,
        "combinations",
        known,
        "combination(s) in test of which training holds all singles and the combination itself",
    )


def check_size(files: FoldFiles) -> Iterator[Finding]:
    """Look for boards that test too few perturbations to rank, and do not declare it.

    Fewer than 16 single perturbations, or combinations so few that each is left out by itself.
    """
    if SPLITTERS[files.board.split].column(files.board) != "perturbation":
        return
    side = _values(files, "perturbation")
    held_out = {p for p in side["test"] if "+" not in p}
    singles = {p for values in side.values() for p in values if "+" not in p}
    is_small = not held_out or len(singles) < MIN_SINGLES
    bad = sorted(side["test"]) if is_small and not files.board.unranked else []
    yield finding(
        files, "size", bad, "perturbation(s) of a split too small to rank and not declared unranked"
    )


def check_cover(files: BoardFiles) -> Iterator[Finding]:
    """Look for cells that no fold tests, or several do; a cell left out moves a score unseen.

    Splits of perturbations test names, not cells: some of their combinations in no fold, others in
    several, so they have nothing to cover.
    """
    board = files.board
    splits = [SPLITTERS[name] for name in (board.split, board.matches) if name]
    if any(splitter.column(board) == "perturbation" for splitter in splits):
        return
    cells = select(files.obs, board)
    if board.context is not None:
        cells = cells[cells["perturbation"].astype(str) != CONTROL]
    tested = files.roles.loc[files.roles["role"] == "test", "cell_id"].value_counts()
    times = tested.reindex(cells.index, fill_value=0)
    yield finding(files, "cover", list(times.index[times == 0]), "cell(s) that no fold tests")
    yield finding(files, "cover", list(times.index[times > 1]), "cell(s) that several folds test")
