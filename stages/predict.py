"""Run one entry on every fold of one dataset's boards."""

import hashlib
import json
import sys
from pathlib import Path

from leaderboard import layout
from leaderboard.cases import split_name
from leaderboard.command import run
from leaderboard.config import read_params, read_resource
from leaderboard.io import read_json, sha256_file
from leaderboard.models import MODELS
from leaderboard.predict import Plan, predict_dataset
from leaderboard.resources import resource_folders
from leaderboard.submission.entry import CONTROLS, boards_of, plugins_of, read_entry, seeds_of
from leaderboard.submission.sync import model_files
from leaderboard.tracking import Tracker, dvc_hash, git_commit

LOCKS = (Path("dvc.lock"), layout.DATA / "real" / "dvc.lock")


def main(suite: str, dataset: str, name: str) -> None:
    """Write predictions and run record; every run is in MLflow."""
    params, entry = read_params(), read_entry(layout.ENTRIES / name)
    boards = boards_of(entry, dataset, suite, params)
    used = {plugin for board in boards for plugin in plugins_of(entry, board, suite)}
    models = {model: p for model, p in entry.models().items() if model in used}
    limits = params.tiers[entry.tier]
    digests = read_json(layout.SPLITS_LOCK).get(dataset, {})
    files = sorted({file for model in models for file in model_files(model)})
    resources = resource_folders(name for model in models for name in MODELS[model].resources)
    facts = {
        "models": models,
        "boards": [board.id for board in boards],
        "seeds": seeds_of(entry, dataset, params),
        "threads": params.threads,
        "limits": limits.model_dump(),
        "code": {file: sha256_file(Path(file)) for file in files},
        "resources": {resource: read_resource(resource).sha256 for resource in resources},
        "cases": dvc_hash(layout.cases(suite, dataset), LOCKS),
    }
    plan = Plan(
        entry=name,
        suite=suite,
        dataset=dataset,
        boards=tuple(boards),
        models=models,
        splits={board.id: digests.get(split_name(board), "not frozen") for board in boards},
        seeds=tuple(seeds_of(entry, dataset, params)),
        limits=limits,
        threads=params.threads,
        key=hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:16],
        resources=resources,
        is_controls=entry.kind == CONTROLS,
        tier=entry.tier,
        tags={
            "git_commit": git_commit(),
            "release": params.release,
            "tier": entry.tier,
            "suite": suite,
            "dvc_cases": str(facts["cases"]),
            "dvc_splits": dvc_hash(layout.splits(suite, dataset), LOCKS),
        },
    )
    predict_dataset(plan, Tracker(f"heldout-{params.release}"))


if __name__ == "__main__":
    run(main, sys.argv[1:])
