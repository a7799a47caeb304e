"""Write each entry's ``dvc.yaml``: literal text from folder name, task and boards.

No ``vars`` and no ``${}``: DVC templates reach a shell.
"""

import ast
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from leaderboard import layout
from leaderboard.config import Params, read_datasets, read_params, read_resources
from leaderboard.errors import ConfigError, ResourceError, UnknownNameError
from leaderboard.io import write_text
from leaderboard.models import MODELS
from leaderboard.spec import Board, Model
from leaderboard.submission.entry import (
    CONTROLS,
    SIMULATED,
    Entry,
    boards_of,
    check_names,
    read_entries,
)

ROOT = "../../.."
HEADER = "# Written by `heldout sync` from entry.yaml and params.yaml. Do not edit.\n"
RECORDS_AND_DOORS = {"config", "errors", "io", "layout", "registry", "spec", "tracking"}
"""Modules that move values and decide none: a change to one reruns no model."""
ENTRY_KEYS = ["kind", "model", "parameters", "plugins", "tier"]


def model_files(name: str) -> list[str]:
    """Return the files whose code decides what a model predicts: its own and those it imports."""
    found: set[str] = set()
    queue = [f"leaderboard.models.{name}"]
    while queue:
        module = queue.pop()
        path = Path(*module.split(".")).with_suffix(".py")
        if path.as_posix() in found or not path.is_file():
            continue
        found.add(path.as_posix())
        queue += [m for m in _imports(path) if m.split(".")[1] not in RECORDS_AND_DOORS]
    return sorted(found)


def _imports(path: Path) -> list[str]:
    modules = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("leaderboard."):
            modules += [str(node.module), *(f"{node.module}.{a.name}" for a in node.names)]
    return modules


def pipeline(name: str, entry: Entry, params: Params) -> str:
    """Return the text of an entry's ``dvc.yaml``."""
    stages: dict[str, Any] = {}
    for suite, records in read_datasets().items():
        for dataset in records:
            boards = boards_of(entry, dataset, suite, params)
            if boards:
                stages[f"predict-{dataset}"] = _predict(name, entry, suite, dataset, boards)
                stages[f"score-{dataset}"] = _score(name, entry, suite, dataset)
    return HEADER + yaml.safe_dump({"stages": stages}, sort_keys=False, width=1000)


def _predict(
    name: str, entry: Entry, suite: str, dataset: str, boards: list[Board]
) -> dict[str, Any]:
    files = sorted({file for model in entry.models() for file in model_files(model)})
    cases = [(layout.cases(suite, dataset) / board.id).as_posix() for board in boards]
    if any(MODELS[model].sees_truth for model in entry.models()):
        cases += [(layout.truth(suite, dataset) / board.id).as_posix() for board in boards]
    models = [MODELS[model] for model in entry.models()]
    tables = {r for model in models if suite in model.suites for r in model.resources}
    resources = [layout.resource(name).as_posix() for name in sorted(tables)]
    keys = [k for k in ENTRY_KEYS if k in entry.model_fields_set]
    keys += [f"seeds.{dataset}"] if dataset in entry.seeds else []
    under = layout.tier_of(suite, entry.tier)
    return {
        "desc": f"Run {name} on every fold of {dataset}.",
        "cmd": f"python -m stages.predict {suite} {dataset} {name}",
        "wdir": ROOT,
        "deps": ["stages/predict.py", "leaderboard/predict.py", *files, *resources, *cases],
        "params": [
            {f"leaderboard/entries/{name}/entry.yaml": keys},
            {"params.yaml": ["seeds", "threads", f"tiers.{entry.tier}"]},
        ],
        "outs": [
            layout.predictions(under, dataset, name).as_posix(),
            layout.run(under, dataset, name).as_posix(),
        ],
    }


def _score(name: str, entry: Entry, suite: str, dataset: str) -> dict[str, Any]:
    under = layout.tier_of(suite, entry.tier)
    deps = [
        "stages/score.py",
        "leaderboard/evidence.py",
        "leaderboard/score.py",
        "leaderboard/profiles.py",
        "leaderboard/metrics",
        "leaderboard/tasks",
        layout.predictions(under, dataset, name).as_posix(),
        layout.truth(suite, dataset).as_posix(),
        layout.board_lock(dataset).as_posix(),
    ]
    outs = [
        layout.scores(under, dataset, name),
        layout.failures(under, dataset, name),
        layout.entry_facts(under, dataset, name),
    ]
    if entry.kind == CONTROLS:
        deps += [
            "leaderboard/freeze.py",
            layout.clean(suite, dataset).as_posix(),
            layout.splits(suite, dataset).as_posix(),
        ]
        outs.append(layout.constants(suite, dataset))
    return {
        "desc": f"Score {name} on {dataset}.",
        "cmd": f"python -m stages.score {suite} {dataset} {name}",
        "wdir": ROOT,
        "deps": deps,
        "params": [
            {f"leaderboard/entries/{name}/entry.yaml": None},
        ],
        "outs": [out.as_posix() for out in outs],
    }


def sync() -> list[str]:
    """Write every entry's ``dvc.yaml`` that is out of date; return the ids that changed."""
    return [name for name, path, text in _out_of_date() if _write(path, text, name)]


def _write(path: Path, text: str, name: str) -> str:
    write_text(path, text)
    return name


def check() -> None:
    """Raise ConfigError if an entry's ``dvc.yaml`` is not what ``sync`` would write."""
    stale = [name for name, _, _ in _out_of_date()]
    if stale:
        raise ConfigError(
            f"leaderboard/entries: dvc.yaml of {stale} is not what its entry.yaml gives. "
            "Run `heldout sync` and commit the result."
        )


def check_resources(models: Mapping[str, Model], entries: Mapping[str, Entry]) -> None:
    """Raise if a model's outside table has no record, or the default run would need it.

    The suite of simulated boards is computed without a network, but for entries of the full tier.

    Raises
    ------
    UnknownNameError, ResourceError
        Naming the model's file, what it declares and what there is.
    """
    known = read_resources()
    for name, model in models.items():
        where = f"leaderboard/models/{name}.py: `resources`"
        unknown = sorted(set(model.resources) - set(known))
        if unknown:
            raise UnknownNameError(
                f"{where} names {unknown}, which {layout.RESOURCES} has no record of. "
                f"Known: {', '.join(known) or 'none'}. Correct the name or add a record."
            )
        users = [e for e in entries if name in entries[e].models() and entries[e].tier != "full"]
        if users and model.resources and SIMULATED in model.suites:
            raise ResourceError(
                f"{where} names {list(model.resources)}, but the default run computes the suite "
                f"{SIMULATED!r} without a network, with the entries {users}. Expected `suites` "
                f"without it or entries of tier full alone, got {list(model.suites)}."
            )


def _out_of_date() -> list[tuple[str, Path, str]]:
    params, entries = read_params(), read_entries()
    lacking = [d for records in read_datasets().values() for d in records if d not in params.boards]
    if lacking:
        raise ConfigError(
            f"params.yaml: `boards` has no key for {lacking}. Add `{lacking[0]}: []` or its boards."
        )
    check_names(entries)
    check_resources({m: MODELS[m] for entry in entries.values() for m in entry.models()}, entries)
    stale = []
    for name, entry in entries.items():
        path, text = layout.ENTRIES / name / "dvc.yaml", pipeline(name, entry, params)
        if not path.is_file() or path.read_text(encoding="utf-8") != text:
            stale.append((name, path, text))
    return stale
