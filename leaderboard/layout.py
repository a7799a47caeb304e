"""Where every file between two stages lies, relative to the root of the repository.

One rule: ``data/<what>/<suite>/<dataset>...``; each path has one writer.
"""

from pathlib import Path

DATA = Path("data")
PARAMS = Path("params.yaml")
DATASETS = DATA / "datasets.yaml"
RESOURCES = DATA / "resources.yaml"
CONTRACTS = DATA / "contracts"
SPLITS_LOCK = DATA / "splits.lock.json"
BOARD_LOCKS = DATA / "boards.lock"
STANDINGS = DATA / "standings"
FAILURES = STANDINGS / "failures"
ENTRIES = Path("leaderboard/entries")
RESULTS = Path("leaderboard/results")
SITE = Path("public")


def raw(suite: str, dataset: str) -> Path:
    """Folder of raw files (fetch)."""
    return DATA / "raw" / suite / dataset


def resource(name: str) -> Path:
    """Folder of the files of an outside table (resource)."""
    return DATA / "raw" / "resources" / name


def clean(suite: str, dataset: str) -> Path:
    """Path of the canonical AnnData (validate)."""
    return DATA / "clean" / suite / f"{dataset}.h5ad"


def validation(suite: str, dataset: str) -> Path:
    """Contract report and composition of the clean dataset (validate)."""
    return DATA / "validation" / suite / f"{dataset}.json"


def splits(suite: str, dataset: str) -> Path:
    """Folder of role and strata tables (split)."""
    return DATA / "splits" / suite / dataset


def cases(suite: str, dataset: str) -> Path:
    """Folder of ``<board>/fold-<k>``: all that a model may see (split)."""
    return DATA / "cases" / suite / dataset


def truth(suite: str, dataset: str) -> Path:
    """Folder of ``<board>/fold-<k>``: what only scoring opens (split)."""
    return DATA / "truth" / suite / dataset


def audit(suite: str, dataset: str) -> Path:
    """Path of the findings of the leakage audit (audit)."""
    return DATA / "audit" / suite / f"{dataset}.json"


def novelty(suite: str, dataset: str) -> Path:
    """Table of how near test perturbations are to those of training (audit)."""
    return DATA / "audit" / suite / f"{dataset}.novelty.parquet"


def shared_cells(suite: str) -> Path:
    """Folder of what comparing the datasets of a suite found (duplicates)."""
    return DATA / "duplicates" / suite


def duplicates(suite: str, dataset: str) -> Path:
    """Path of the findings on cells that another dataset of the suite holds too (duplicates)."""
    return shared_cells(suite) / f"{dataset}.json"


def board_lock(dataset: str) -> Path:
    """Frozen constants of a dataset's boards; a file each, so that DVC need not parse them all."""
    return BOARD_LOCKS / f"{dataset}.json"


def tier_of(suite: str, tier: str) -> str:
    """Folder of what an entry writes about a suite: the full tier stays out of the default run."""
    return f"full/{suite}" if tier == "full" else suite


def predictions(suite: str, dataset: str, entry: str) -> Path:
    """Folder of ``<board>/fold-<k>-seed-<s>.parquet`` (predict)."""
    return DATA / "predictions" / suite / dataset / entry


def run(suite: str, dataset: str, entry: str) -> Path:
    """Run record (predict)."""
    return DATA / "runs" / suite / dataset / f"{entry}.json"


def scores(suite: str, dataset: str, entry: str) -> Path:
    """Score table (score)."""
    return DATA / "scores" / suite / dataset / f"{entry}.csv"


def failures(suite: str, dataset: str, entry: str) -> Path:
    """Failure table (score)."""
    return DATA / "scores" / suite / dataset / f"{entry}.failures.csv"


def entry_facts(suite: str, dataset: str, entry: str) -> Path:
    """Path of the entry as it was when it was scored (score)."""
    return DATA / "scores" / suite / dataset / f"{entry}.entry.json"


def constants(suite: str, dataset: str) -> Path:
    """Recomputed floors and ceilings of a dataset's boards (score of the controls)."""
    return DATA / "scores" / suite / dataset / "controls.constants.json"


def work(kind: str, *parts: str) -> Path:
    """Scratch that survives a killed run: never an output, safe to delete."""
    return DATA.joinpath("work", kind, *parts)


def fold_name(fold: int) -> str:
    """Folder of one fold inside a board's folder."""
    return f"fold-{fold}"


def prediction_name(fold: int, seed: int) -> str:
    """File of one fold and seed inside a board's folder."""
    return f"fold-{fold}-seed-{seed}.parquet"


def cells_of(prediction: Path) -> Path:
    """Path of the predicted cells beside a prediction."""
    return prediction.with_suffix(".cells.parquet")
