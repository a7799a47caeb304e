"""Gene sets of a few made-up processes, as a GMT file."""

from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np

from leaderboard.models._go import FILE
from tests.conftest import SINGLES

UNANNOTATED = (SINGLES[2], SINGLES[5], SINGLES[12])
"""Targets of the screen without a term; each is the half of a pair or a single of its own."""


def tiny_sets() -> dict[str, list[str]]:
    """14 processes of 5 to 9 targets of the screen, and one of everything, too large to count."""
    rng = np.random.default_rng(4)
    targets = [gene for gene in SINGLES if gene not in UNANNOTATED]
    sets = {
        f"process {i} (GO:{i:07d})": [
            str(g) for g in rng.choice(targets, rng.integers(5, 10), False)
        ]
        for i in range(14)
    }
    everything = [*targets, *(f"X{i}" for i in range(600))]
    return sets | {"cellular process (GO:0009987)": everything}


def write_sets(folder: Path, sets: Mapping[str, Iterable[str]]) -> Path:
    """Write the file under the name that the models look for; return its folder."""
    folder.mkdir(parents=True, exist_ok=True)
    lines = ["\t".join([name, "", *genes]) + "\n" for name, genes in sets.items()]
    (folder / FILE).write_text("".join(lines), encoding="utf-8")
    return folder
