"""The dictionaries of Geneformer, which say what gene a token is, as JSON or parquet.

Upstream keeps them as pickles: ``_geneformer_pickles`` converts those once.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from leaderboard.errors import CheckpointError

PAD, MASK, CLS, EOS = "<pad>", "<mask>", "<cls>", "<eos>"
SPECIAL = (PAD, MASK, CLS, EOS)

NEEDED = ("token_dictionary", "gene_median")
NAMES = (*NEEDED, "gene_name_id", "ensembl_mapping")
"""Stems of the files."""

Value = str | int | float

ENSEMBL = re.compile(r"(ENS[A-Z]*G\d+)(\.\d+)?")


@dataclass(frozen=True, kw_only=True)
class Dictionaries:
    """How genes are named, ranked and numbered."""

    token: Mapping[str, int]
    """Ensembl id or special token to its number, 0 to the size of the vocabulary."""
    median: Mapping[str, float]
    """Ensembl id to the median of its non-zero counts per 10,000 over the training corpus."""
    gene_id: Mapping[str, str] = field(default_factory=dict)
    """Symbol to Ensembl id."""
    mapping: Mapping[str, str] = field(default_factory=dict)
    """Ensembl id, retired ones too, to the id that the model uses (V2)."""

    @property
    def n_special(self) -> int:
        """Tokens that are no genes; they have the lowest numbers."""
        return sum(name in self.token for name in SPECIAL)

    @property
    def version(self) -> str:
        """``V2`` where a cell is framed by <cls> and <eos>, else ``V1``."""
        return "V2" if CLS in self.token else "V1"

    def ensembl_id(self, name: str) -> str:
        """Return the id that the model uses for a symbol or an id, with a version or without.

        What no dictionary knows comes back as it is, and has no token.
        """
        found = ENSEMBL.fullmatch(name.upper())
        known = found[1] if found else self.gene_id.get(name, name)
        return self.mapping.get(known, known)


def read_dictionaries(folder: Path) -> tuple[Dictionaries, list[Path]]:
    """Return the dictionaries of a folder, and the files that they are from.

    ``token_dictionary`` and ``gene_median``, and where they are there ``gene_name_id`` and
    ``ensembl_mapping``; each ``.json`` (one object) or ``.parquet`` (two columns, key and value).

    Raises
    ------
    CheckpointError
        If a needed file is missing, one is broken, or they do not belong together.
    """
    paths = {name: path for name in NAMES if (path := _path(folder, name))}
    lacking = [name for name in NEEDED if name not in paths]
    if lacking:
        raise CheckpointError(
            f"{folder}: expected {' and '.join(f'{n}.json' for n in lacking)} (or .parquet), got "
            "none. Convert the official pickles: python -m "
            f"leaderboard.models._geneformer_pickles FOLDER {folder}"
        )
    read = {name: _read(path) for name, path in paths.items()}
    found = Dictionaries(
        token=_checked(read, paths, "token_dictionary", int),
        median=_checked(read, paths, "gene_median", float),
        gene_id=_checked(read, paths, "gene_name_id", str),
        mapping=_checked(read, paths, "ensembl_mapping", str),
    )
    _check_tokens(found.token, paths["token_dictionary"])
    _check_medians(found, paths["gene_median"])
    return found, sorted(paths.values())


def _path(folder: Path, name: str) -> Path | None:
    candidates = (folder / f"{name}{suffix}" for suffix in (".json", ".parquet"))
    return next((path for path in candidates if path.is_file()), None)


def _read(path: Path) -> dict[str, Any]:
    try:
        if path.suffix == ".json":
            found = json.loads(path.read_text(encoding="utf-8"))
        else:
            table = pd.read_parquet(path)
            keys, values = (table[column].tolist() for column in table.columns)
            found = dict(zip(keys, values, strict=True))
    except (OSError, ValueError, RecursionError) as error:
        raise CheckpointError(
            f"{path}: not a readable dictionary ({error}). Convert or fetch it again."
        ) from error
    if not isinstance(found, dict):
        raise CheckpointError(
            f"{path}: expected one object of names and values, got {type(found).__name__}. Convert "
            "or fetch it again."
        )
    return found


def _checked(
    read: Mapping[str, dict[str, Any]], paths: Mapping[str, Path], name: str, kind: type
) -> dict[str, Any]:
    """Return a dictionary whose values all are of one kind; nothing if it is not there."""
    values = read.get(name, {})
    allowed = (int, float) if kind is float else (kind,)
    wrong = [
        f"{key!r}: {value!r}"
        for key, value in values.items()
        if type(key) is not str or type(value) not in allowed
    ]
    if wrong:
        raise CheckpointError(
            f"{paths[name]}: expected a {kind.__name__} under every name, got {wrong[0][:80]}. Is "
            "it another dictionary of the folder?"
        )
    return values


def _check_tokens(token: Mapping[str, int], path: Path) -> None:
    n = len(token)
    if sorted(token.values()) != list(range(n)):
        raise CheckpointError(
            f"{path}: expected each of the numbers 0 to {n - 1} once, got others. Fetch it again."
        )
    special = {name: token[name] for name in SPECIAL if name in token}
    n_expected = 2 if CLS not in special and EOS not in special else len(SPECIAL)
    if special.get(PAD) != 0 or sorted(special.values()) != list(range(n_expected)):
        raise CheckpointError(
            f"{path}: expected {PAD} as token 0, then {MASK}, and in V2 {CLS} and {EOS}, before "
            f"all genes; got {special}. Give the token dictionary of a Geneformer."
        )


def _check_medians(found: Dictionaries, path: Path) -> None:
    bad = [gene for gene, value in found.median.items() if not 0 < value < np.inf]
    if bad:
        raise CheckpointError(
            f"{path}: expected medians above 0, got {found.median[bad[0]]} for {bad[0]}. Fetch it "
            "again."
        )
    if not found.token.keys() & found.median.keys():
        raise CheckpointError(
            f"{path}: expected medians of the genes that have tokens, got none of them. Give both "
            "dictionaries of one model."
        )


def write_dictionaries(dictionaries: Dictionaries, folder: Path) -> list[Path]:
    """Write what ``read_dictionaries`` reads, as JSON; empty dictionaries are left out."""
    held: dict[str, Mapping[str, Value]] = {
        "token_dictionary": dictionaries.token,
        "gene_median": dictionaries.median,
        "gene_name_id": dictionaries.gene_id,
        "ensembl_mapping": dictionaries.mapping,
    }
    return [
        write_dictionary(folder / f"{name}.json", values) for name, values in held.items() if values
    ]


def write_dictionary(path: Path, values: Mapping[str, Value]) -> Path:
    """Write one dictionary as JSON, a name a line; return where."""
    path.write_text(json.dumps(dict(values), indent=0) + "\n", encoding="utf-8")
    return path
